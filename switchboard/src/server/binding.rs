//! All listeners of a server, bound together or not at all.

use super::accept::{BoundEntry, Entry};
use crate::error::ListenerError;
use crate::transport::names::NumericAddress;
use std::io;

/// Takes every address, and then begins to queue whoever comes. Nobody is accepted yet.
pub(super) async fn bind(
    entries: Vec<Box<dyn Entry>>,
    workers: usize,
) -> Result<Vec<Box<dyn BoundEntry>>, Vec<ListenerError>> {
    let (mut bound, mut unbound) = (Vec::<Box<dyn BoundEntry>>::new(), Vec::new());
    let places: Vec<_> = entries.iter().filter_map(|entry| entry.numeric_address()).collect();
    for mut entry in entries {
        let beside = entry.numeric_address().and_then(NumericAddress::of_ipv4_beside);
        if beside.is_some_and(|beside| places.contains(&beside)) {
            entry.leave_ipv4();
        }
        let url = entry.url();
        match entry.bind(workers).await {
            Ok(entry) => bound.push(entry),
            Err(error) => {
                let error = explained(error, &url, bound.iter().flat_map(|other| other.urls()));
                unbound.push(ListenerError { listener: url, error });
            }
        }
    }
    for index in 0..bound.len() {
        if unbound.is_empty()
            && let Err(error) = bound[index].listen()
        {
            let url = bound[index].urls().join(", ");
            let error = explained(error, &url, bound[..index].iter().flat_map(|other| other.urls()));
            unbound.push(ListenerError { listener: url, error });
        }
    }
    if unbound.is_empty() { Ok(bound) } else { Err(unbound) }
}

/// Names the listener of this very server that is in the way, if one is.
fn explained(error: io::Error, url: &str, mut others: impl Iterator<Item = String>) -> io::Error {
    let socket = |url: &str| Some((url.starts_with("udp:"), url.rsplit_once(':')?.1.parse::<u16>().ok()?));
    match (error.kind(), socket(url)) {
        (io::ErrorKind::AddrInUse, Some(wanted)) => match others.find(|other| socket(other) == Some(wanted)) {
            Some(other) => io::Error::new(error.kind(), format!("its port is taken by {other}")),
            None => error,
        },
        _ => error,
    }
}
