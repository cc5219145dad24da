//! What SIGHUP does: the file is read again, with all that it names, and takes effect as a whole or not at all. Nobody is dropped.
//!
//! Without a file there are certificates alone, each of which stays as it was if it cannot be read.

use super::{NotStarted, open_files};
use crate::config::{Bans, Changes, Classes, Config, InForce};
use crate::live::{LiveOptions, Replaceable};
use crate::policy::audit::Audit;
use crate::policy::configured::FilePolicy;
use crate::proxies::Followed;
use crate::running::{Run, SettingsInForce};
use crate::services::Shared;
use crate::steered::Steered;
use crate::web::access::AccessLog;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use switchboard::{Certificates, ClientTrust, Handle, Hub, Limits, Room};
use tracing::{error, info, warn};

/// Puts settings together again, as at the start; with a text in place of the file, if there is one.
pub(crate) type Load = Arc<dyn Fn(Option<String>) -> Result<Config, NotStarted> + Send + Sync>;

/// What runs, and can be changed while it does.
pub(super) struct Reloads {
    in_force: InForce,
    load: Load,
    /// Without a file there is nothing to read again.
    has_file: bool,
    hub: Hub,
    /// What the hub asks, if the file says who may do what.
    policy: Option<Arc<FilePolicy>>,
    /// Rooms that the file wants to be there.
    kept: Vec<Room>,
    /// All classes of rooms that there have been.
    classes: Classes,
    running: Arc<Run>,
    audit: Arc<Audit>,
    access: Arc<AccessLog>,
    listeners: Vec<Running>,
    /// Where bans and limits hold.
    handle: Handle,
    /// The longest body of a request.
    frame_bytes: Replaceable<usize>,
}

/// What of a listener can be changed.
struct Running {
    /// As it was typed.
    place: String,
    /// As it was bound: a name may have several addresses.
    urls: Vec<String>,
    certificates: Option<Certificates>,
    /// By whom it knows its clients' certificates.
    clients: Option<ClientTrust>,
    live: LiveOptions,
    in_front: Followed,
}

impl Running {
    /// Where it can be reached, as it is logged.
    fn shown(&self) -> String {
        self.urls.join(", ")
    }
}

impl Reloads {
    /// Has the file hold at a server before anybody comes: its rooms and its bans now and whenever they change, and bans of operators as before
    /// the last end; the rest when it changes.
    pub(super) fn new(in_force: InForce, load: Load, has_file: bool, shared: &Shared, handle: Handle) -> Self {
        let Shared { hub, policy, running, audit, access, frame_bytes, .. } = shared;
        let (hub, policy, running) = (hub.clone(), policy.clone(), Arc::clone(running));
        let (audit, access, frame_bytes) = (Arc::clone(audit), Arc::clone(access), frame_bytes.clone());
        let (kept, listeners) = (Vec::new(), Vec::new());
        let classes = Classes::default().with(&in_force.rooms).unwrap_or_default();
        let mut reloads = Self {
            in_force,
            load,
            has_file,
            hub,
            policy,
            kept,
            classes,
            running,
            audit,
            access,
            listeners,
            handle,
            frame_bytes,
        };
        reloads.set_rooms();
        reloads.running.runs_by(reloads.in_force.hash(), settings(&reloads.in_force));
        ban_as_before(&reloads.handle, reloads.running.steered());
        reloads.set_bans(&Bans::new());
        reloads
    }

    /// Tells which of its listeners were bound, in their order, and where.
    pub(super) fn bound<'a>(&mut self, bound: impl Iterator<Item = (&'a str, Vec<String>)>) {
        let mut listeners = self.in_force.listeners.iter();
        let running = bound.filter_map(|(typed, urls)| {
            // Some may have been left out.
            let listener = listeners.find(|listener| listener.is(typed))?;
            let (certificates, clients) = (listener.certificates.clone(), listener.clients.clone());
            let (place, live) = (listener.place.clone(), listener.live.clone());
            let in_front = listener.in_front.followed.clone();
            Some(Running { place, urls, certificates, clients, live, in_front })
        });
        self.listeners = running.collect();
        let certificates =
            self.listeners.iter().filter_map(|listener| Some((listener.shown(), listener.certificates.clone()?)));
        self.running.set_certificates(certificates.collect());
        self.revoke();
    }

    /// Whether it was started with a file, which a hangup reads again and never ends.
    pub(super) fn has_file(&self) -> bool {
        self.has_file
    }

    /// How long connections may take to finish.
    pub(super) fn grace(&self) -> Duration {
        self.in_force.grace
    }

    pub(super) fn running(&self) -> &Run {
        &self.running
    }

    /// Reads everything again. Says what has changed, or what is wrong; both are logged.
    ///
    /// # Cancel safety
    /// Not safe: what was read may be lost, and what is in force stays.
    pub(super) async fn reload(&mut self) -> Result<Vec<String>, Vec<String>> {
        let reloaded = self.read().await;
        self.running.reloaded(reloaded.is_ok());
        match &reloaded {
            Ok(changed) => self.audit.reloaded(&shown(changed)),
            Err(faults) => self.audit.reload_refused(&shown(faults)),
        }
        reloaded
    }

    async fn read(&mut self) -> Result<Vec<String>, Vec<String>> {
        if !self.has_file {
            let reloaded = self.reload_certificates();
            self.review_certificates().await;
            return reloaded;
        }
        match self.understood(None).await {
            Ok(next) => self.take(next).await,
            Err(faults) => Err(refused(faults)),
        }
    }

    /// What a file would change that said this, in place of the one in force; or what is wrong with it. Nothing changes.
    pub(super) async fn judge(&self, content: String) -> Result<Vec<String>, Vec<String>> {
        let Changes { live, restart } = self.in_force.changes(&self.understood(Some(content)).await?);
        Ok(live.into_iter().chain(restart.iter().map(|name| format!("{name} (needs a restart)"))).collect())
    }

    /// What the file says, or `content` in its place, with all that it names.
    async fn understood(&self, content: Option<String>) -> Result<InForce, Vec<String>> {
        let load = Arc::clone(&self.load);
        // Files may be slow, and a signal to stop does not wait for them.
        let read = tokio::task::spawn_blocking(move || load(content).map(|config| InForce::of(&config))).await;
        Err(match read {
            Ok(Ok(next)) => return Ok(next),
            Ok(Err(NotStarted::Faults(faults))) => faults.iter().map(ToString::to_string).collect(),
            Ok(Err(NotStarted::Start(error))) => vec![format!("{error:#}")],
            Ok(Err(NotStarted::Bind(error))) => vec![error.to_string()],
            Ok(Err(NotStarted::Data(error))) => vec![error.to_string()],
            Ok(Err(NotStarted::Cluster(error))) => vec![error.to_string()],
            Err(error) => vec![error.to_string()],
        })
    }

    /// Takes what was read, unless some of it needs a restart.
    async fn take(&mut self, next: InForce) -> Result<Vec<String>, Vec<String>> {
        let Changes { live, mut restart } = self.in_force.changes(&next);
        let classes = self.classes.with(&next.rooms);
        if classes.is_none() {
            restart.push("rooms (class): too many since the start".to_owned());
        }
        if !restart.is_empty() {
            error!(needs_restart = shown(&restart), unchanged = shown(&live), REFUSED);
            return Err(restart.iter().map(|name| format!("{name} needs a restart")).collect());
        }
        if let Err(fault) = open_files(&self.audit, &self.access, &next) {
            return Err(refused(vec![fault]));
        }
        self.set_limits(next.limits);
        self.classes = classes.unwrap_or_default();
        let is_revoked = self.replace_options(&next);
        self.running.set_log(&next.log);
        self.running.runs_by(next.hash(), settings(&next));
        let before = std::mem::replace(&mut self.in_force, next);
        if self.in_force.rooms != before.rooms {
            self.set_rooms();
        }
        self.set_bans(&before.bans);
        self.review_certificates().await;
        if let Some(policy) = &self.policy {
            let is_other = self.in_force.tables != before.tables;
            if is_other {
                policy.replace(&self.in_force.rules);
            }
            if is_other || is_revoked {
                self.hub.review().await;
            }
            policy.refresh_keys();
        }
        for told in self.in_force.rules.expiring(SystemTime::now()) {
            warn!("{told}");
        }
        if live.is_empty() {
            info!("the file was reloaded: nothing changed");
        } else {
            info!(changed = shown(&live), "the file was reloaded");
        }
        Ok(live)
    }

    /// Listeners do, and show, what was read for the ones in their places.
    /// Says whether others are revoked than before.
    fn replace_options(&self, next: &InForce) -> bool {
        let places = self.listeners.iter().map(|listener| listener.place.as_str());
        for (listener, read) in self.listeners.iter().zip(next.in_places(places)) {
            let Some(read) = read else { continue };
            let Running { certificates, clients, live, in_front, .. } = listener;
            live.follow(&read.live);
            read.in_front.put_in_force(in_front, read.live.timeouts(next.timeouts));
            if let (Some(clients), Some(read)) = (clients, &read.clients) {
                clients.replace(read);
            }
            if let (Some(certificates), Some(read)) = (certificates, &read.certificates) {
                certificates.replace(read);
                info!(listener = listener.shown(), "certificates were reloaded");
            }
        }
        self.revoke()
    }

    /// Has these hold, for what all connections have at once and for each that comes.
    fn set_limits(&self, limits: Limits) {
        if limits == self.in_force.limits {
            return;
        }
        // They were checked when they were read.
        if let Err(error) = self.handle.set_limits(limits) {
            return error!(error = error.to_string(), "the limits were not changed");
        }
        self.running.set_limits(limits);
        self.frame_bytes.set(limits.frame_bytes);
    }

    /// Has the file's rooms be as it says.
    #[expect(
        clippy::disallowed_methods,
        reason = "rooms of the file are the operator's, and made by the program itself"
    )]
    fn set_rooms(&mut self) {
        let (rooms, classes) = (self.in_force.rooms.clone(), self.classes.clone());
        let kept: Vec<_> = rooms.kept().collect();
        self.running.set_classes(classes.names());
        self.hub.set_room_options(move |name| rooms.options(name, &classes));
        self.kept = kept.iter().filter_map(|name| self.hub.room(name.as_str()).ok()).collect();
    }

    /// Has the file's bans hold in place of those `before`. What somebody else has banned stays as it is.
    fn set_bans(&self, before: &Bans) {
        let (handle, bans) = (&self.handle, &self.in_force.bans);
        let lifted: Vec<_> = before.values().filter(|ban| !bans.contains_key(&ban.network)).collect();
        if !lifted.is_empty() {
            let held: Bans = handle.bans().into_iter().map(|ban| (ban.network, ban)).collect();
            for ban in lifted.into_iter().filter(|ban| held.get(&ban.network).is_none_or(|held| held == *ban)) {
                handle.unban(&ban.network);
            }
        }
        let new: Vec<_> = bans.values().filter(|ban| before.get(&ban.network) != Some(ban)).cloned().collect();
        if new.is_empty() {
            return;
        }
        let networks: Vec<_> = new.iter().map(|ban| ban.network.to_string()).collect();
        match handle.ban_all(new) {
            Ok(reset) => self.audit.bans(&shown(&networks), reset),
            Err(error) => error!(error = error.to_string(), "some bans of the file do not hold"),
        }
    }

    /// Ends connections, whatever their service, whose certificate their listener takes no more.
    async fn review_certificates(&self) {
        let asking: Vec<_> =
            self.listeners.iter().filter_map(|running| Some((running, running.clients.as_ref()?))).collect();
        if asking.is_empty() {
            return;
        }
        let stands = |listener: &str, shown: &[Bytes]| {
            let of = asking.iter().find(|(running, _)| running.urls.iter().any(|url| url == listener));
            of.is_none_or(|(_, clients)| clients.takes(shown))
        };
        let ended = self.handle.connections().review_certificates(stands).await;
        if ended > 0 {
            info!(ended, "connections whose certificates are not taken any more were closed");
        }
    }

    /// Whose clients' certificates are taken, of all listeners.
    fn revoke(&self) -> bool {
        let clients: Vec<_> = self.listeners.iter().filter_map(|listener| listener.clients.clone()).collect();
        self.policy.as_ref().is_some_and(|policy| policy.revoke(&clients))
    }

    fn reload_certificates(&self) -> Result<Vec<String>, Vec<String>> {
        let (mut read, mut faults) = (Vec::new(), Vec::new());
        if self.listeners.iter().all(|listener| listener.certificates.is_none()) {
            info!("nothing to reload");
        }
        for listener in &self.listeners {
            let Some(certificates) = &listener.certificates else { continue };
            let (urls, clients) = (listener.shown(), &listener.clients);
            let clients = clients.as_ref().map_or(Ok(()), ClientTrust::reload);
            match clients.and_then(|()| certificates.reload()) {
                Ok(()) => {
                    info!(listener = urls, "certificates were reloaded");
                    read.push(format!("certificates of {urls}"));
                }
                Err(error) => {
                    for error in error.faults {
                        error!(listener = urls, error, "certificates were not reloaded");
                        faults.push(format!("{urls}: {error}"));
                    }
                }
            }
        }
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }

    /// Tells of certificates that clients will refuse. They are served all the same: it may be a clock that is wrong.
    pub(super) fn check(&self) {
        for listener in &self.listeners {
            let certificates = listener.certificates.iter();
            for error in certificates.flat_map(|certificates| certificates.invalid_at(SystemTime::now())) {
                error!(listener = listener.shown(), error, "certificate is not valid now");
            }
        }
    }
}

fn settings(in_force: &InForce) -> SettingsInForce {
    SettingsInForce { told: in_force.told.clone(), rules: in_force.rules.clone(), rooms: in_force.rooms.clone() }
}

/// Has their bans hold again. The file's come behind them, and in their place.
fn ban_as_before(handle: &Handle, steered: &Steered) {
    let bans = steered.bans();
    let count = bans.len();
    match handle.ban_all(bans) {
        Ok(_) if count == 0 => {}
        Ok(_) => info!(bans = count, "bans of operators hold again"),
        Err(error) => warn!(error = error.to_string(), "some bans of operators do not hold"),
    }
}

/// What is said of each thing that is wrong.
const REFUSED: &str = "the file was not reloaded, and nothing changed";

/// Tells what is wrong, each by itself.
fn refused(faults: Vec<String>) -> Vec<String> {
    for error in &faults {
        error!(error, REFUSED);
    }
    faults
}

/// Names beyond these are counted.
const SHOWN: usize = 20;

fn shown(names: &[String]) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use switchboard::Server;

    #[test]
    fn a_listener_that_was_left_out_moves_no_other_ones_url() {
        let config = Config::load(crate::args::Settings::default(), &HashMap::new(), |_| Vec::new()).expect("sound");
        let load: Load = Arc::new(|_| unreachable!("nothing is read"));
        let mut reloads = Reloads::new(InForce::of(&config), load, false, &Shared::default(), Server::new().handle());
        let typed: Vec<_> = config.listen.value.iter().map(|endpoint| endpoint.typed.as_str()).collect();
        let bound = typed.iter().skip(1).map(|typed| (*typed, vec![format!("of {typed}")]));
        reloads.bound(bound);
        let of: Vec<_> = reloads.listeners.iter().map(|running| format!("of {}", running.place)).collect();
        let urls: Vec<_> = reloads.listeners.iter().map(Running::shown).collect();
        assert_eq!((of.len(), of), (typed.len() - 1, urls));
    }
}
