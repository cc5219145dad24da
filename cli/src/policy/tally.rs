//! How often somebody was let in, refused and denied. Each label is a word of this program.

use super::audit::Refused;
use super::datagrams::SignatureFault;
use super::proof::ProofKind;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use switchboard::policy::Principal;

/// By what somebody is known, as [`ProofKind`] tells it apart.
pub(crate) const METHODS: [&str; 6] = ["token", "jwt", "callout", "certificate", "unix", "datagram"];

/// What is denied.
pub(crate) const ACTIONS: [&str; 9] =
    ["join", "publish", "history", "presence", "direct", "name", "read", "admin", "other"];

/// All counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    authenticated: [AtomicU64; METHODS.len()],
    denied: [AtomicU64; ACTIONS.len()],
    /// By method and reason: as many as this program has words for.
    refused: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// Signed datagrams that did not count.
    unsigned: [AtomicU64; SignatureFault::ALL.len()],
    /// By source of JWTs: as many as the file names.
    unfetched: Mutex<BTreeMap<String, u64>>,
}

/// Adds one to the count of a word that is in the list.
fn count<const N: usize>(counts: &[AtomicU64; N], words: [&str; N], word: &str) {
    if let Some(place) = words.iter().position(|known| *known == word) {
        // Relaxed: a statistic, which guards nothing; so where it is read.
        counts[place].fetch_add(1, Ordering::Relaxed);
    }
}

fn counted<const N: usize>(
    counts: &[AtomicU64; N],
    words: [&'static str; N],
) -> impl Iterator<Item = (&'static str, u64)> {
    words.into_iter().zip(counts.iter().map(|count| count.load(Ordering::Relaxed)))
}

/// By what somebody is known. Whoever its listener names has shown nothing.
pub(super) fn method(principal: &Principal) -> Option<&'static str> {
    match ProofKind::of(principal)? {
        ProofKind::Token => Some("token"),
        ProofKind::Jwt => Some("jwt"),
        ProofKind::Callout => Some("callout"),
        ProofKind::Certificate => Some("certificate"),
        ProofKind::User => Some("unix"),
        ProofKind::Listener | ProofKind::Open => None,
    }
}

impl Tally {
    pub(super) fn authenticated(&self, principal: &Principal) {
        if let Some(method) = method(principal) {
            count(&self.authenticated, METHODS, method);
        }
    }

    pub(super) fn signed(&self) {
        count(&self.authenticated, METHODS, "datagram");
    }

    /// A signed datagram did not count.
    pub(super) fn unsigned(&self, fault: SignatureFault) {
        count(&self.unsigned, SignatureFault::ALL.map(SignatureFault::word), fault.word());
    }

    pub(super) fn refused(&self, refused: Refused) {
        *self.refused.lock().entry((refused.method(), refused.code())).or_default() += 1;
    }

    /// A command, or the method of a request.
    pub(super) fn denied(&self, action: &str) {
        let action = match action {
            "/join" => "join",
            "/pub" | "publish" | "POST" => "publish",
            "/history" => "history",
            "/who" | "/rooms" => "presence",
            "/msg" => "direct",
            "/name" => "name",
            "GET" | "HEAD" => "read",
            "admin" => "admin",
            _ => "other",
        };
        count(&self.denied, ACTIONS, action);
    }

    /// A source's keys were asked for in vain.
    pub(super) fn unfetched(&self, source: &str) {
        *self.unfetched.lock().entry(source.to_owned()).or_default() += 1;
    }

    pub(crate) fn authentications(&self) -> impl Iterator<Item = (&'static str, u64)> {
        counted(&self.authenticated, METHODS)
    }

    pub(crate) fn unsigned_datagrams(&self) -> impl Iterator<Item = (&'static str, u64)> {
        counted(&self.unsigned, SignatureFault::ALL.map(SignatureFault::word))
    }

    pub(crate) fn denials(&self) -> impl Iterator<Item = (&'static str, u64)> {
        counted(&self.denied, ACTIONS)
    }

    pub(crate) fn refusals(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.refused.lock().clone()
    }

    pub(crate) fn fetches_in_vain(&self, source: &str) -> u64 {
        self.unfetched.lock().get(source).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard::UserName;

    #[test]
    fn each_is_counted_under_a_word_of_the_program_whatever_was_typed() {
        let tally = Tally::default();
        let alice = |proof: &str| Principal::named(UserName::parse("alice").expect("a name")).by(proof);
        for proof in ["01234567", "jwt.corp/01234567/89abcdef", "as", "unix/1000", "01234567"] {
            tally.authenticated(&alice(proof));
        }
        tally.signed();
        let counts: Vec<_> = tally.authentications().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [("token", 2), ("jwt", 1), ("unix", 1), ("datagram", 1)]);
        for action in ["/join", "POST", "publish", "evil\"} 1\n", "/msg"] {
            tally.denied(action);
        }
        let counts: Vec<_> = tally.denials().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [("join", 1), ("publish", 2), ("direct", 1), ("other", 1)]);
        for refused in [Refused::Unknown, Refused::Denied, Refused::Unknown, Refused::Signature] {
            tally.refused(refused);
        }
        let expected = [(("callout", "callout"), 1), (("datagram", "signature"), 1), (("token", "unknown"), 2)];
        assert_eq!(tally.refusals().into_iter().collect::<Vec<_>>(), expected);
    }
}
