//! What operators have said through the admin service and what outlasts the answer: bans, revocations, and what everybody is told who comes.
//! Kept in the state directory, if there is one, so that it holds after a restart.
//!
//! Whoever says it has it hold; this only remembers that it was said.

use crate::policy::jwt::claims::at_most_written;
use crate::policy::revocations::{Revocation, RevocationList, Revoked};
use crate::state;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard::{Ban, IpNetwork, UserName};

const FILE: &str = "operators.json";

/// As many as there can be of everything, with the longest texts.
const FILE_BYTES: u64 = 64 << 20;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Steered {
    folder: Option<PathBuf>,
    said: parking_lot::Mutex<Said>,
    /// Shared with whoever looks at credentials.
    revocations: Arc<RevocationList>,
    /// One writes at a time, and what was said last is there last.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    bans: BTreeMap<IpNetwork, Ban>,
    motd: Option<String>,
}

impl Steered {
    /// What was said before the last end.
    ///
    /// # Errors
    /// There is something that cannot be read. Without it, whoever was shut out would be let in.
    pub(crate) fn load(folder: Option<PathBuf>) -> io::Result<Self> {
        let Some(place) = &folder else { return Ok(Self::default()) };
        let (said, revocations) = read(&place.join(FILE))?;
        Ok(Self { folder, said: said.into(), revocations: Arc::new(revocations), ..Self::default() })
    }

    /// What is not taken any more of whoever shows it.
    pub(crate) fn revocations(&self) -> &Arc<RevocationList> {
        &self.revocations
    }

    /// Bans that are not over, in order of their networks.
    pub(crate) fn bans(&self) -> Vec<Ban> {
        let now = SystemTime::now();
        self.said.lock().bans.values().filter(|ban| !is_over(ban, now)).cloned().collect()
    }

    pub(crate) fn has_banned(&self, network: &IpNetwork) -> bool {
        self.said.lock().bans.get(network).is_some_and(|ban| !is_over(ban, SystemTime::now()))
    }

    pub(crate) fn ban(&self, ban: Ban) {
        let now = SystemTime::now();
        let mut said = self.said.lock();
        // Else there would be more and more while it runs, and in the end more than is read at a start.
        said.bans.retain(|_, ban| !is_over(ban, now));
        said.bans.insert(ban.network, ban);
    }

    pub(crate) fn unban(&self, network: &IpNetwork) {
        self.said.lock().bans.remove(network);
    }

    /// What everybody is told who comes.
    pub(crate) fn motd(&self) -> Option<String> {
        self.said.lock().motd.clone()
    }

    pub(crate) fn set_motd(&self, text: Option<String>) {
        self.said.lock().motd = text;
    }

    /// Whether it outlasts a restart.
    pub(crate) fn is_kept(&self) -> bool {
        self.folder.is_some()
    }

    /// Keeps what was said so far, if there is a place for it.
    pub(crate) async fn keep(&self) -> io::Result<()> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let _one = self.writing.lock().await;
        let (said, now) = (self.said.lock().clone(), SystemTime::now());
        let revocations = self.revocations.list(None, usize::MAX, now);
        tokio::task::spawn_blocking(move || write(&folder, &said, &revocations)).await.map_err(io::Error::other)?
    }
}

fn is_over(ban: &Ban, now: SystemTime) -> bool {
    ban.until.is_some_and(|until| until <= now)
}

fn read(path: &Path) -> io::Result<(Said, RevocationList)> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Default::default()),
        Err(error) => return Err(error),
    };
    let said: Value = serde_json::from_slice(&bytes)?;
    let wrong = || io::Error::new(ErrorKind::InvalidData, "not what was written there");
    understood(&said).zip(revocations_of(&said["revocations"])).ok_or_else(wrong)
}

/// Until when something is said to hold, if it has an end.
fn end_of(told: &Value) -> Result<Option<SystemTime>, humantime::TimestampError> {
    match &told["until"] {
        Value::Null => Ok(None),
        until => humantime::parse_rfc3339(until.as_str().unwrap_or_default()).map(Some),
    }
}

/// They are missing in what earlier versions wrote.
fn revocations_of(said: &Value) -> Option<RevocationList> {
    let list = RevocationList::default();
    for told in said.as_array().map(Vec::as_slice).or(said.is_null().then_some(&[][..]))? {
        let revoked = match (told["name"].as_str(), told["token"].as_str(), told["jti"].as_str()) {
            (Some(name), None, None) => {
                let name = UserName::parse(name).ok()?;
                match &told["issued-before"] {
                    Value::Null => Revoked::Name(name),
                    second => {
                        let second = second.as_u64()?;
                        // It is shown as a time.
                        UNIX_EPOCH.checked_add(Duration::from_secs(second))?;
                        Revoked::IssuedBefore(name, second)
                    }
                }
            }
            (None, Some(token), None) => Revoked::token(token)?,
            (None, None, Some(jti)) => Revoked::Jti(jti.to_owned()),
            _ => return None,
        };
        let revocation = Revocation { revoked, until: end_of(told).ok()?, reason: told["reason"].as_str()?.to_owned() };
        list.add(revocation, SystemTime::now()).ok()?;
    }
    Some(list)
}

fn understood(said: &Value) -> Option<Said> {
    let mut all = Said::default();
    for told in said["bans"].as_array()? {
        let ban = Ban::of(told["network"].as_str()?.parse().ok()?).because(told["reason"].as_str()?);
        let ban = end_of(told).ok()?.map_or(ban.clone(), |until| ban.until(until));
        all.bans.insert(ban.network, ban);
    }
    // It is missing in what earlier versions wrote.
    all.motd = match &said["motd"] {
        Value::Null => None,
        text => Some(text.as_str()?.to_owned()),
    };
    Some(all)
}

/// Writes it in the place of what was there.
fn write(folder: &Path, said: &Said, revocations: &[Revocation]) -> io::Result<()> {
    let bans = said
        .bans
        .values()
        .map(|ban| json!({ "network": ban.network.to_string(), "until": shown(ban.until), "reason": ban.reason }));
    let revocations: Vec<_> = revocations.iter().map(written).collect();
    let text = json!({ "bans": bans.collect::<Vec<_>>(), "motd": said.motd, "revocations": revocations }).to_string();
    state::write(folder, FILE, text.as_bytes())
}

fn written(revocation: &Revocation) -> Value {
    let mut told = json!({ "until": shown(revocation.until), "reason": revocation.reason });
    match &revocation.revoked {
        Revoked::Name(name) => told["name"] = json!(name.as_str()),
        Revoked::IssuedBefore(name, second) => {
            told["name"] = json!(name.as_str());
            told["issued-before"] = json!(second);
        }
        Revoked::Token(token) => told["token"] = json!(token),
        Revoked::Jti(jti) => told["jti"] = json!(jti),
    }
    told
}

fn shown(time: Option<SystemTime>) -> Option<String> {
    time.map(|time| humantime::format_rfc3339_millis(at_most_written(time)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::revocations::JTI_BYTES;
    use std::fs;

    fn folder(test: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("switchboard-{}-{test}", std::process::id()));
        fs::create_dir_all(&folder).expect("it can be made");
        folder
    }

    #[tokio::test]
    async fn what_was_said_is_there_after_a_restart_and_what_is_over_is_not() {
        let folder = folder("steered");
        let load = || Steered::load(Some(folder.clone())).expect("it is sound");
        let steered = load();
        assert_eq!(steered.bans(), []);
        let network = |text: &str| text.parse::<IpNetwork>().expect("a network");
        let long = UNIX_EPOCH + Duration::from_hours(24 * 365 * 200);
        let (one, other) = (Ban::of(network("192.0.2.0/24")).because("scans \"x\""), Ban::of(network("2001:db8::1")));
        steered.ban(one.clone());
        steered.ban(other.clone().until(long));
        steered.ban(Ban::of(network("198.51.100.1")).until(UNIX_EPOCH));
        assert!(!steered.has_banned(&network("198.51.100.1")), "it may be the file that bans it now");
        steered.keep().await.expect("it is written");
        assert_eq!(load().bans(), [one.clone(), other.clone().until(long)]);
        steered.unban(&one.network);
        steered.keep().await.expect("it is written");
        assert!(!load().has_banned(&one.network) && load().has_banned(&other.network));
        fs::remove_dir_all(folder).expect("it was made");
    }

    #[tokio::test]
    async fn what_was_revoked_is_after_a_restart_until_it_is_over_or_taken_back() {
        let folder = folder("steered-revoked");
        let load = || Steered::load(Some(folder.clone())).expect("it is sound");
        let (steered, now) = (load(), SystemTime::now());
        let name = UserName::parse("alice").expect("a name");
        let one = |revoked, until| Revocation { revoked, until, reason: "left \"x\"".to_owned() };
        let end = UNIX_EPOCH + Duration::from_hours(24 * 365 * 200);
        let kept = [
            one(Revoked::IssuedBefore(name.clone(), 1_764_322_271), Some(end)),
            one(Revoked::Jti("é\n1".to_owned()), None),
            one(Revoked::Name(name), None),
            one(Revoked::token("01234567").expect("a number"), None),
        ];
        for revocation in kept.iter().cloned().chain([one(Revoked::Jti("2".to_owned()), Some(UNIX_EPOCH))]) {
            steered.revocations().add(revocation, now).expect("there is room");
        }
        steered.keep().await.expect("it is written");
        assert_eq!(load().revocations().list(None, 9, now), kept);
        let before = load();
        before.revocations().remove("token:01234567").expect("it was there");
        before.keep().await.expect("it is written");
        assert_eq!(load().revocations().list(None, 9, now), kept[..3]);
        fs::remove_dir_all(folder).expect("it was made");
    }

    #[tokio::test]
    async fn the_most_and_longest_revocations_are_there_after_a_restart() {
        let folder = folder("steered-most");
        let (steered, now) = (Steered::load(Some(folder.clone())).expect("it is sound"), SystemTime::now());
        let reason = "\u{1}".repeat(256);
        let mut count = 0;
        loop {
            let jti = format!("{count:06}{}", "\u{1}".repeat(JTI_BYTES - 6));
            let one = Revocation { revoked: Revoked::Jti(jti), until: None, reason: reason.clone() };
            match steered.revocations().add(one, now) {
                Ok(()) => count += 1,
                Err(_) => break,
            }
        }
        steered.keep().await.expect("it is written");
        let written = fs::metadata(folder.join(FILE)).expect("it is there").len();
        assert!(written < FILE_BYTES * 3 / 4, "{written}: bans have room beside them");
        let again = Steered::load(Some(folder.clone())).expect("it is sound");
        assert_eq!(again.revocations().len(), count);
        fs::remove_dir_all(folder).expect("it was made");
    }

    #[test]
    fn bans_that_are_over_make_place() {
        let steered = Steered::default();
        for last in 0..100 {
            let network = format!("192.0.2.{last}").parse().expect("a network");
            steered.ban(Ban::of(network).until(UNIX_EPOCH));
        }
        assert_eq!(steered.said.lock().bans.len(), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_understood_is_not_left_out() {
        let folder = folder("steered-broken");
        let beyond = format!("[{{\"name\":\"alice\",\"issued-before\":{},\"reason\":\"\"}}]", u64::MAX);
        let revocations = ["1", "[1]", "[{\"reason\":\"\"}]", "[{\"token\":\"x\",\"reason\":\"\"}]", &beyond];
        let revocations = revocations.map(|broken| format!("{{\"bans\":[],\"revocations\":{broken}}}"));
        let bans = ["", "{", "{}", "{\"bans\":[{\"network\":\"192.0.2.0/24\"}]}", "{\"bans\":[],\"motd\":1}", "[]"];
        for broken in bans.into_iter().chain(revocations.iter().map(String::as_str)) {
            fs::write(folder.join(FILE), broken).expect("it is written");
            assert!(Steered::load(Some(folder.clone())).is_err(), "{broken}");
        }
        let steered = Steered::default();
        steered.ban(Ban::of("192.0.2.1".parse().expect("a network")));
        steered.keep().await.expect("there is nothing to do");
        assert!(!steered.is_kept());
        fs::remove_dir_all(folder).expect("it was made");
    }
}
