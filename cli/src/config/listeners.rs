//! Which listeners there are: those of the strongest origin that has any. All that are given are checked.

use super::layers::{Fault, Given, NO_LISTENERS, SetBy, Text};
use super::{Choice, DEFAULT_LISTEN, Setting};
use crate::endpoint::{Endpoint, Faults};
use crate::policy::rules::At;
use switchboard_load::typed::percent_encoded;

impl Choice {
    /// The strongest list of listeners given; all of them are checked.
    pub(super) fn listeners(&mut self, admin_socket: Option<&str>) -> Setting<Vec<Endpoint>> {
        let mut chosen = None;
        let (mut faults, mut files) = (Vec::new(), Vec::new());
        for Given { texts, set_by, .. } in self.given.iter().filter(|given| given.name == "listen") {
            let wrong = |at: Option<At>, text: String| Fault { at, ..Fault::new(set_by.clone(), text) };
            let mut endpoints: Vec<Endpoint> = Vec::new();
            for text in texts {
                match Endpoint::parse(&text.typed) {
                    Ok(endpoint) => {
                        let first = endpoints.iter().find(|first| first.collides_with(&endpoint));
                        let same =
                            first.map(|first| format!("{}: the same listener as {}", endpoint.typed, first.typed));
                        faults.extend(same.map(|same| wrong(text.at, same)));
                        endpoints.push(endpoint);
                    }
                    Err(more) => faults_of(text, more, set_by, &mut faults, &mut files),
                }
            }
            if texts.is_empty() {
                faults.push(wrong(None, NO_LISTENERS.to_owned()));
            }
            chosen.get_or_insert(Setting { value: endpoints, set_by: set_by.clone() });
        }
        self.faults.extend(faults);
        // Listeners that share a file would say the same of it.
        for fault in files {
            if !self.faults.contains(&fault) {
                self.faults.push(fault);
            }
        }
        let mut listeners = chosen.unwrap_or_else(|| {
            let endpoints = DEFAULT_LISTEN.iter().filter_map(|typed| Endpoint::parse(typed).ok());
            Setting { value: endpoints.collect(), set_by: SetBy::Default }
        });
        let own = admin_socket.and_then(|path| Endpoint::parse(&of_admin(path)).ok());
        let is_free = |own: &Endpoint| !listeners.value.iter().any(|given| given.address.collides_with(&own.address));
        let own = own.filter(is_free);
        listeners.value.extend(own);
        listeners
    }
}

/// A listener for the operators, at a path.
fn of_admin(path: &str) -> String {
    format!("admin=unix://{}", percent_encoded(path, b"/"))
}

/// What is wrong with one listener; what is with the files that it names goes to `files`.
fn faults_of(text: &Text, more: Faults, set_by: &SetBy, faults: &mut Vec<Fault>, files: &mut Vec<Fault>) {
    let Some(options) = &text.options else {
        let sentences = more.sentences(&text.typed).into_iter();
        faults.extend(sentences.map(|sentence| Fault { at: text.at, ..Fault::new(set_by.clone(), sentence) }));
        files.extend(more.files.into_iter().map(|text| Fault::new(SetBy::Named, text)));
        return;
    };
    // Of a table each mistake is where its key is.
    let place = |name: &str| options.iter().find(|(option, _)| *option == name).map(|(_, at)| *at);
    for fault in more.typed {
        let at = place(fault.option.as_deref().unwrap_or("url")).or(text.at);
        faults.push(Fault { at, ..Fault::new(set_by.clone(), fault.text) });
    }
    for fault in more.files {
        let at = place("cert").or(text.at);
        files.push(Fault { at, ..Fault::new(set_by.clone(), fault) });
    }
}
