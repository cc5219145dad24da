//! What was typed as `SERVICE=URL?options`, parsed once into types.
//!
//! Every fault of an endpoint is collected, in words that say what to type instead, and so is every fault of the
//! certificates that it names. Nothing is resolved or bound here.

use crate::address::{Address, AskedClients, FileRights};
use crate::live::LiveOptions;
use crate::proxies::InFront;
use crate::services::{Add, NamedService, Offer, SERVICES};
use crate::systemd::sockets::Handed;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use switchboard::{Certificates, ClientTrust};
use switchboard_load::typed::{Place, Scheme, did_you_mean, parse_switch, percent_decoded};

/// A service at an address, with its options.
pub(crate) struct Endpoint {
    pub(crate) typed: String,
    pub(crate) service: &'static NamedService,
    pub(crate) address: Address,
    /// What of it a reload can change.
    pub(crate) live: LiveOptions,
    /// Adds it to a server.
    pub(crate) add: Add,
}

impl Endpoint {
    /// Reads `SERVICE=URL?key=value&key=value`, or says everything that is wrong with it.
    pub(crate) fn parse(typed: &str) -> Result<Self, Faults> {
        parse(typed)
    }

    /// As it was typed, without its options.
    pub(crate) fn place(&self) -> &str {
        self.typed.split_once('?').map_or(&self.typed, |(place, _)| place)
    }

    /// Whether both cannot be there for certain: groups of hosts may have one address on several interfaces.
    pub(crate) fn collides_with(&self, other: &Self) -> bool {
        let names = |one: &Self| one.option("interface").map(|names| names.replace('?', ""));
        let is_apart = match (names(self), names(other)) {
            (Some(own), Some(others)) => !own.split(',').any(|own| others.split(',').any(|other| own == other)),
            _ => false,
        };
        self.address.collides_with(&other.address) && !is_apart
    }

    /// The value of an option, if it is given.
    pub(crate) fn option(&self, key: &'static str) -> Option<String> {
        let (_, query) = self.typed.split_once('?')?;
        Options::parse(Some(query)).value(key, |value| Ok(value.to_owned()))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.typed).finish()
    }
}

/// What is wrong with an endpoint, a sentence each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// As it was typed.
    pub(crate) typed: Vec<OptionFault>,
    /// In files that it names.
    pub(crate) files: Vec<String>,
}

/// What is wrong with an option, or with what stands before all of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OptionFault {
    pub(crate) option: Option<String>,
    pub(crate) text: String,
}

impl OptionFault {
    fn of(option: &str, text: String) -> Self {
        Self { option: Some(option.to_owned()), text }
    }
}

impl From<String> for OptionFault {
    fn from(text: String) -> Self {
        Self { option: None, text }
    }
}

impl Faults {
    /// A sentence on each that begins with what was typed.
    pub(crate) fn sentences(&self, typed: &str) -> Vec<String> {
        let shown = if typed.is_empty() { "''" } else { typed };
        self.typed.iter().map(|fault| format!("{shown}: {}", fault.text)).collect()
    }
}

/// What is said of a text that is not an endpoint at all.
const NO_ENDPOINT: &str = "not SERVICE=URL, as in echo=tcp://127.0.0.1:8080";

fn parse(typed: &str) -> Result<Endpoint, Faults> {
    let one = |fault: String| Faults { typed: vec![fault.into()], files: Vec::new() };
    let (before, rest) = typed.split_once("://").ok_or_else(|| one(without_url(typed)))?;
    let Some((service, scheme)) = before.split_once('=') else {
        return Err(one(without_service(before, typed)));
    };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));

    let mut faults: Vec<OptionFault> = Vec::new();
    let service = parse_service(service).map_err(|fault| faults.push(fault.into())).ok();
    let scheme = parse_scheme(scheme, service).map_err(|fault| faults.push(fault.into())).ok();
    let mut options = Options::parse(query);
    let mut files = Vec::new();
    let has_host = scheme.is_some_and(|scheme| scheme != Scheme::Unix);
    let freebind = has_host && options.value("freebind", parse_switch).unwrap_or(false);
    let file = match scheme {
        Some(Scheme::Unix) => FileRights::parse(&mut options, service.is_some_and(|service| service.is_private)),
        _ => FileRights::default(),
    };
    let address = scheme.and_then(|scheme| {
        let place = Place::of_listener(place, scheme).map_err(|fault| faults.push(fault.into())).ok()?;
        // What the service takes is the same without: it is checked also if the certificates are not to be had.
        let certificates = if scheme.is_tls() { options.certificates(&mut files) } else { None };
        let in_front = InFront::parse(&mut options, scheme);
        let clients = if scheme.is_tls() { options.clients(&mut files) } else { None };
        Some(Address { scheme, place, freebind, certificates, file, in_front, clients, handed: Handed::default() })
    });
    // Which options there are is known only with service and address.
    if let (Some(service), Some(address)) = (service, address) {
        let add = match service.offer(address.scheme) {
            Some(Offer::Streams(_, offer)) => offer(address.streams(), &mut options),
            Some(Offer::Datagrams(_, offer)) => offer(address.datagrams(), &mut options),
            None => unreachable!("its schemes are those of its offers"),
        };
        let live = options.live.clone();
        faults.extend(options.finish());
        if faults.is_empty() && files.is_empty() {
            return Ok(Endpoint { typed: typed.to_owned(), service, address, live, add });
        }
    } else {
        faults.extend(options.faults);
    }
    Err(Faults { typed: faults, files })
}

/// What is wrong with a text without a URL: of a service it is told one.
fn without_url(typed: &str) -> String {
    let name = typed.split('=').next().unwrap_or(typed);
    let served = SERVICES.iter().find(|service| service.name == name && name != "echo");
    served.map_or(NO_ENDPOINT.to_owned(), |service| {
        let scheme = service.schemes().next().map_or("tcp", Scheme::name);
        format!("not SERVICE=URL, as in {name}={scheme}://127.0.0.1:8081")
    })
}

/// What is wrong with a URL without a service: one that is served there is named.
fn without_service(scheme: &str, typed: &str) -> String {
    let served = SERVICES.iter().find(|service| service.schemes().any(|served| served.name() == scheme));
    served.map_or(NO_ENDPOINT.to_owned(), |service| format!("missing service, as in {}={typed}", service.name))
}

fn parse_service(name: &str) -> Result<&'static NamedService, String> {
    let names: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
    let found = SERVICES.iter().find(|service| service.name == name);
    found.ok_or_else(|| {
        let meant = did_you_mean(name, names.iter().copied());
        format!("unknown service `{name}`; known: {}{meant}", names.join(", "))
    })
}

fn parse_scheme(name: &str, service: Option<&NamedService>) -> Result<Scheme, String> {
    let known = service.map_or(Scheme::ALL.to_vec(), |service| service.schemes().collect());
    Scheme::among(&known, name).map_err(|fault| match service {
        Some(service) if Scheme::ALL.iter().any(|scheme| scheme.name() == name) => {
            let names: Vec<_> = known.iter().map(|scheme| scheme.name()).collect();
            let asked = name.starts_with("ws") && known.contains(&Scheme::Http);
            let instead = if asked { "; http and https have WebSockets" } else { "" };
            format!("{} is not served over `{name}`, but over {}{instead}", service.name, names.join(", "))
        }
        _ => fault,
    })
}

/// Options that may be given several times.
const REPEATABLE: [&str; 2] = ["cert", "key"];

/// The options of one URL. A service takes those that it knows; the others are faults.
#[derive(Debug, Default)]
pub(crate) struct Options {
    given: Vec<(String, Vec<u8>)>,
    known: Vec<&'static str>,
    faults: Vec<OptionFault>,
    /// Cells of those that were taken and that a reload can change.
    pub(crate) live: LiveOptions,
}

impl Options {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let mut options = Self::default();
        for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
            if let Err(fault) = options.add(pair) {
                options.faults.push(fault);
            }
        }
        options
    }

    fn add(&mut self, pair: &str) -> Result<(), OptionFault> {
        let no_value = || OptionFault::of(pair, format!("option `{pair}` has no value: {pair}=…"));
        let (key, value) = pair.split_once('=').ok_or_else(no_value)?;
        if !REPEATABLE.contains(&key) && self.given.iter().any(|(given, _)| given == key) {
            return Err(OptionFault::of(key, format!("option `{key}` is given twice")));
        }
        let not_decoded = |fault| OptionFault::of(key, format!("option `{key}`: {fault}"));
        let value = percent_decoded(value).map_err(not_decoded)?;
        self.given.push((key.to_owned(), value));
        Ok(())
    }

    /// Whether an option is given that was not taken yet.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.given.iter().any(|(given, _)| given == key)
    }

    /// Whether an option is given with this value, and was not taken yet.
    pub(crate) fn is(&self, key: &str, value: &str) -> bool {
        self.given.iter().any(|(given, said)| given == key && said == value.as_bytes())
    }

    /// Takes an option that may be any bytes.
    pub(crate) fn bytes(&mut self, key: &'static str) -> Option<Vec<u8>> {
        self.known.push(key);
        let index = self.given.iter().position(|(given, _)| given == key)?;
        Some(self.given.remove(index).1)
    }

    /// Takes an option that `parse` understands.
    pub(crate) fn value<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = self.bytes(key)?;
        let value = String::from_utf8_lossy(&value);
        let parsed = parse(&value).map_err(|fault| self.refuse(key, &format!("`{value}` is {fault}")));
        parsed.ok()
    }

    /// Notes what is wrong with an option that is well-formed by itself.
    pub(crate) fn refuse(&mut self, key: &'static str, fault: &str) {
        self.faults.push(OptionFault::of(key, format!("option `{key}`: {fault}")));
    }

    /// Notes what is wrong with the whole of it.
    pub(crate) fn fault(&mut self, fault: &str) {
        self.faults.push(fault.to_owned().into());
    }

    /// Refuses an option that is for other schemes.
    pub(crate) fn forbid(&mut self, key: &'static str, fault: &str) {
        let before = self.given.len();
        self.given.retain(|(given, _)| given != key);
        if self.given.len() < before {
            self.refuse(key, fault);
        }
    }

    /// Takes certificates and their keys, in pairs, and reads them; what is wrong with the files goes to `files`.
    fn certificates(&mut self, files: &mut Vec<String>) -> Option<Certificates> {
        let [certificates, keys] = REPEATABLE.map(|option| self.paths(option));
        if certificates.is_empty() || certificates.len() != keys.len() {
            self.faults.push(match (certificates.len(), keys.len()) {
                (0, 0) => "TLS needs a certificate: put ?cert=FILE&key=FILE after the port".to_owned().into(),
                (certs, keys) => OptionFault::of(
                    "cert",
                    format!("each cert=FILE needs its key=FILE: there are {certs} of one and {keys} of the other"),
                ),
            });
            return None;
        }
        match Certificates::from_files(certificates.into_iter().zip(keys)) {
            Ok(certificates) => Some(certificates),
            Err(error) => {
                files.extend(error.faults);
                None
            }
        }
    }

    /// Takes whose certificates clients show, and reads them; what is wrong with the files goes to `files`.
    fn clients(&mut self, files: &mut Vec<String>) -> Option<AskedClients> {
        let [authorities, lists] = ["client-ca", "client-crl"].map(|option| self.paths(option));
        let is_required = self.value("client-cert", |text| match text {
            "required" => Ok(true),
            "optional" => Ok(false),
            _ => Err("not required or optional".to_owned()),
        });
        let Some(authorities) = authorities.into_iter().next() else {
            for (option, is_given) in [("client-crl", !lists.is_empty()), ("client-cert", is_required.is_some())] {
                if is_given {
                    self.refuse(option, "needs a client-ca=FILE, whose certificates are asked for");
                }
            }
            return None;
        };
        match ClientTrust::from_files(authorities, lists) {
            Ok(trust) => Some(AskedClients { trust, is_required: is_required.unwrap_or(true) }),
            Err(error) => {
                files.extend(error.faults);
                None
            }
        }
    }

    /// Takes all that is given for `key`.
    fn paths(&mut self, key: &'static str) -> Vec<PathBuf> {
        self.known.push(key);
        let taken = self.given.extract_if(.., |(given, _)| given == key);
        taken.map(|(_, value)| std::ffi::OsString::from_vec(value).into()).collect()
    }

    /// What was wrong with the options, once the service has taken its own.
    pub(crate) fn finish(mut self) -> Vec<OptionFault> {
        let known = self.known.join(", ");
        let unknown = self.given.iter().map(|(key, _)| {
            let meant = did_you_mean(key, self.known.iter().copied());
            OptionFault::of(key, format!("unknown option `{key}`; known here: {known}{meant}"))
        });
        self.faults.extend(unknown);
        self.faults
    }
}

#[cfg(test)]
mod tests;
