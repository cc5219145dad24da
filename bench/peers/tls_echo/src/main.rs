//! A minimal TLS echo server on tokio-rustls, and a load for it and for switchboard.
//!
//!     tls_echo serve ADDRESS CERT KEY                                         answers with the lines that came, one write a read
//!     tls_echo load ADDRESS CERT CONNECTIONS IN_FLIGHT SIZE SECONDS PID       CPU of the server PID for each line
//!     tls_echo idle ADDRESS CERT CONNECTIONS PID                              memory of the server PID for each connection
//!
//! One thread each. Figures are printed as JSON.

mod load;
mod serve;

use std::error::Error;
use tokio::runtime::Builder;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match words[..] {
            ["serve", address, cert, key] => serve::serve(address, cert, key).await,
            ["load", address, cert, connections, in_flight, size, seconds, pid] => {
                let load = load::Load {
                    connections: connections.parse()?,
                    in_flight: in_flight.parse()?,
                    size: size.parse()?,
                    seconds: seconds.parse()?,
                };
                load.run(&load::Target::new(address, cert, pid.parse()?)?).await
            }
            ["idle", address, cert, connections, pid] => {
                load::idle(&load::Target::new(address, cert, pid.parse()?)?, connections.parse()?).await
            }
            _ => Err("tls_echo serve ADDRESS CERT KEY | load … | idle …, see main.rs".into()),
        }
    })
}
