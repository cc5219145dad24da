//! What the file says of who may do what, in the form in which it is asked: by a token's hash, and by a person's name.
//!
//! Never changed: a reload makes another one. Knows no hub and reads no clock.

use super::audit::Refused;
use super::callout::{Attested, Callout};
use super::datagrams::DatagramKey;
use super::jwt::claims::{MOST_GLOBS, Vouched, at_most_written};
use super::jwt::compact::Compact;
use super::jwt::fault::JwtFault;
use super::jwt::section::JwtSection;
use super::jwt::source::{JwtSource, Verified};
use super::proof::{Proof, ProofKind};
use super::renewing::GRACE;
use super::revocations::mark_of_jti;
use super::rules::{AdminRight, Direct, Grant, RoomSection, Rules, TokenSection};
use super::token::TokenHash;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;
use switchboard::policy::Principal;
use switchboard::rule::{Group, Person, Rule, Section};
use switchboard::{Glob, Grants, GroupName, IpNetwork, PeerAddr, Rights, RoomName, UserName};

/// The rules of one file.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    tokens: HashMap<TokenHash, Holder>,
    people: HashMap<UserName, Arc<Record>>,
    groups: HashMap<GroupName, Known>,
    /// In the order of the file, in which names are shared out among them.
    sources: Vec<Arc<JwtSource>>,
    callout: Option<Arc<Callout>>,
    names: Vec<Names>,
    logins: BTreeMap<u32, UserName>,
    sections: Vec<Section>,
    anonymous: Grants,
    /// To whom everybody may write.
    anonymous_direct: Vec<Glob>,
    /// What whoever is not known may be called, so that no source issues it.
    free_names: Vec<Glob>,
    /// Of listeners that say who everybody is there.
    named: Vec<UserName>,
}

/// A group, and to whom its members may write.
#[derive(Debug)]
struct Known {
    group: Arc<Group>,
    direct: Vec<Glob>,
    admin: Option<AdminRight>,
}

/// What `[names."GLOB"]` gives.
#[derive(Debug)]
struct Names {
    glob: Glob,
    grants: Grants,
    groups: Vec<Arc<Group>>,
    direct: Vec<Glob>,
}

/// Whose a token is: one principal for all that show it.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) record: Arc<Record>,
    pub(crate) principal: Arc<Principal>,
}

impl Holder {
    fn new(record: &Arc<Record>, hash: &TokenHash) -> Self {
        let groups = record.groups.iter().map(|group| group.name.as_str());
        let known = Principal::named(record.name.clone()).groups(groups).by(hash.id());
        let principal = match record.expires {
            Some(expires) => known.until(expires),
            None => known,
        };
        Self { record: Arc::clone(record), principal: Arc::new(principal) }
    }
}

/// Somebody with a token.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: UserName,
    /// Those of its tokens: two, while one is changed.
    hashes: Vec<TokenHash>,
    grants: Grants,
    groups: Vec<Arc<Group>>,
    /// To whom it may write, and its groups.
    direct: Vec<Glob>,
    expires: Option<SystemTime>,
    /// Whence it may come; empty: from anywhere.
    from: Vec<IpNetwork>,
    datagram_key: Option<DatagramKey>,
    /// What it may do with the server, by itself or by a group.
    pub(crate) admin: Option<AdminRight>,
}

impl Record {
    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether it may come from there. What has no address is within this machine.
    pub(crate) fn comes_from(&self, address: &PeerAddr) -> bool {
        let is_from = |address: IpAddr| self.from.iter().any(|network| network.contains(address));
        self.from.is_empty() || address.ip().is_some_and(|address| is_from(address.ip()))
    }

    /// Whether one of its tokens is called so in logs.
    pub(crate) fn has_token(&self, id: &str) -> bool {
        self.hashes.iter().any(|hash| hash.is_called(id))
    }

    fn person(&self) -> Person<'_> {
        Person { name: &self.name, grants: &self.grants, groups: &self.groups }
    }
}

impl Snapshot {
    /// Of these rules, and of listeners that say who everybody is there.
    pub(crate) fn of(rules: &Rules, named: &[UserName]) -> Self {
        Self::behind(rules, named, None)
    }

    /// The same, with the keys that sources have fetched `before`.
    pub(crate) fn behind(rules: &Rules, named: &[UserName], before: Option<&Self>) -> Self {
        let groups: HashMap<_, _> = rules
            .groups
            .iter()
            .map(|group| {
                let made = Group { name: group.name.clone(), grants: granted(&group.grants) };
                (
                    group.name.clone(),
                    Known { group: Arc::new(made), direct: globs(&group.direct).collect(), admin: group.admin },
                )
            })
            .collect();
        let record = |token: &TokenSection| {
            let own = token.groups.iter().filter_map(|name| groups.get(name));
            let own_admin = own.clone().filter_map(|known| known.admin).max();
            let direct = own.clone().flat_map(|known| known.direct.iter().cloned()).chain(globs(&token.direct));
            Arc::new(Record {
                name: token.name.clone(),
                hashes: token.hashes.clone(),
                grants: granted(&token.grants),
                direct: direct.collect(),
                groups: own.map(|known| Arc::clone(&known.group)).collect(),
                expires: token.expires,
                from: token.from.clone(),
                datagram_key: token.datagram_key.clone(),
                admin: token.admin.max(own_admin),
            })
        };
        let people: HashMap<_, _> = rules.tokens.iter().map(|token| (token.name.clone(), record(token))).collect();
        let hashes =
            people.values().flat_map(|record| record.hashes.iter().map(|hash| (*hash, Holder::new(record, hash))));
        let names = rules.names.iter().map(|section| {
            let own = section.groups.iter().filter_map(|name| groups.get(name));
            let direct = own.clone().flat_map(|known| known.direct.iter().cloned()).chain(globs(&section.direct));
            Names {
                glob: section.names.clone(),
                grants: granted(&section.grants),
                direct: direct.collect(),
                groups: own.map(|known| Arc::clone(&known.group)).collect(),
            }
        });
        let names = names.collect();
        let anonymous = rules.anonymous.as_ref();
        let asked = before.and_then(|before| before.callout.as_deref());
        Self {
            callout: rules.callout.clone().map(|section| Arc::new(Callout::new(section, asked))),
            tokens: hashes.collect(),
            sections: rules.sections.iter().map(section).collect(),
            anonymous: anonymous.map_or_else(Grants::new, |anonymous| granted(&anonymous.grants)),
            free_names: rules.free_names().to_vec(),
            anonymous_direct: anonymous.map_or_else(Vec::new, |anonymous| globs(&anonymous.direct).collect()),
            sources: rules.jwt.iter().map(|section| Arc::new(source(section, before))).collect(),
            names,
            logins: rules.logins.clone(),
            people,
            groups,
            named: named.to_vec(),
        }
    }

    /// Whose token has this hash.
    pub(crate) fn holder(&self, hash: &TokenHash) -> Option<&Holder> {
        self.tokens.get(hash)
    }

    /// Whom a key for datagrams is of, and the key.
    pub(crate) fn sender(&self, name: &UserName) -> Option<(&Holder, &DatagramKey)> {
        let record = self.people.get(name)?;
        let holder = record.hashes.first().and_then(|hash| self.tokens.get(hash))?;
        Some((holder, record.datagram_key.as_ref()?))
    }

    /// Each token that is taken, and whose it is.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = (&UserName, &TokenHash)> {
        self.tokens.iter().map(|(hash, holder)| (&holder.record.name, hash))
    }

    /// Who is called so and has a token.
    pub(crate) fn person(&self, name: &UserName) -> Option<&Arc<Record>> {
        self.people.get(name)
    }

    /// The token that somebody has shown, by what it is called in logs, if it is still taken.
    pub(crate) fn shown(&self, principal: &Principal) -> Option<&Holder> {
        let (name, credential) = (principal.name()?, principal.credential()?);
        let hash = self.person(name)?.hashes.iter().find(|hash| hash.is_called(credential))?;
        self.holder(hash)
    }

    /// Whom a JWT shows, at `now`.
    pub(crate) fn vouched(&self, token: &str, now: SystemTime) -> Result<Principal, JwtFault> {
        let compact = Compact::parse(token)?;
        let source = compact.issuer().and_then(|issuer| self.source_of(issuer)).ok_or(JwtFault::Issuer)?;
        let Verified { vouched, stamp } = source.verify(&compact, now)?;
        let Vouched { name, groups, grants, direct, admin, ends, issued, jti } = vouched;
        if !self.may_issue(source, &name) {
            return Err(JwtFault::NotIssued);
        }
        let principal = self.introduced(name, &groups, grants, direct).ok_or(JwtFault::Rights)?;
        let (source, token) = (&source.section.name, TokenHash::of(token).id());
        let jti = jti.map(|jti| mark_of_jti(&jti));
        let proof = Proof::Jwt { source, stamp: &stamp, token: &token, admin, issued, jti: jti.as_deref() };
        Ok(principal.until(ends).by(proof.to_string()))
    }

    /// Whom a callout has named the holder of a token, at `now`.
    pub(crate) fn attested(
        &self,
        attested: Attested,
        token: &TokenHash,
        now: SystemTime,
    ) -> Result<Principal, Refused> {
        let Attested { name, groups, grants, direct, expires, cache: _ } = attested;
        if expires.is_some_and(|expires| expires <= now) {
            return Err(Refused::Expired);
        }
        if !self.callout_issues(&name) {
            return Err(Refused::NotIssued);
        }
        let principal = self.introduced(name, &groups, grants, direct).ok_or(Refused::NotIssued)?;
        let principal = principal.by(Proof::Callout { token: &token.id() }.to_string());
        Ok(match expires {
            // Before that is over, it is asked again.
            Some(expires) => principal.until(at_most_written(expires + GRACE)),
            None => principal,
        })
    }

    /// Somebody of whom others tell, in those of its groups that the file has; nobody, if that would be more globs than one may have.
    fn introduced(&self, name: UserName, groups: &[GroupName], grants: Grants, direct: Vec<Glob>) -> Option<Principal> {
        let groups: Vec<_> = groups.iter().filter_map(|name| self.groups.get(name)).map(|known| &known.group).collect();
        let globs = groups.iter().map(|group| group.grants.iter().len()).sum::<usize>() + grants.iter().len();
        let groups = groups.iter().map(|group| group.name.as_str());
        (globs <= MOST_GLOBS).then(|| Principal::named(name).groups(groups).granting(grants, direct))
    }

    /// Whether a certificate or a user may be called so.
    pub(crate) fn is_listed(&self, name: &UserName) -> bool {
        self.has_section(name) && self.is_to_issue(name)
    }

    /// Whether a name is there to be issued, by whoever else may: it is not of somebody who has a token, of a listener, or for those without
    /// a credential, nor one of somebody's further connections.
    fn is_to_issue(&self, name: &UserName) -> bool {
        !self.is_free(name) && self.owner(name).is_none() && name.owner_and_number().is_none()
    }

    /// The user of this machine with that number, if it is somebody here.
    pub(crate) fn login(&self, uid: u32) -> Option<&UserName> {
        self.logins.get(&uid).filter(|name| self.is_listed(name))
    }

    fn sections_of<'a>(&'a self, name: &'a UserName) -> impl Iterator<Item = &'a Names> {
        self.names.iter().filter(|section| section.glob.matches(name.as_str(), None))
    }

    fn has_section(&self, name: &UserName) -> bool {
        self.sections_of(name).next().is_some()
    }

    /// The groups of whoever is called so by a certificate, or as a user.
    pub(crate) fn groups_by_name(&self, name: &UserName) -> Vec<String> {
        let groups = self.sections_of(name).flat_map(|section| &section.groups);
        let mut groups: Vec<_> = groups.map(|group| group.name.to_string()).collect();
        groups.sort();
        groups.dedup();
        groups
    }

    fn rights_by_name(&self, rule: &Rule<'_>, name: &UserName, room: &RoomName) -> Rights {
        let sections = || self.sections_of(name);
        let grants = sections().flat_map(|section| section.grants.iter());
        let grants: Grants = grants.map(|(glob, rights)| (glob.clone(), rights)).collect();
        let groups: Vec<_> = sections().flat_map(|section| section.groups.iter().cloned()).collect();
        rule.rights(Some(Person { name, grants: &grants, groups: &groups }), room)
    }

    /// Who is asked about tokens that nothing here knows.
    pub(crate) fn callout(&self) -> Option<&Arc<Callout>> {
        self.callout.as_ref()
    }

    /// Whether the callout speaks for whoever is called so: as a source of JWTs, of which each comes before it.
    pub(crate) fn callout_issues(&self, name: &UserName) -> bool {
        self.callout.as_ref().is_some_and(|callout| callout.section.issues(name))
            && self.is_to_issue(name)
            && !self.has_section(name)
            && !self.sources.iter().any(|source| source.section.issues(name))
    }

    fn source_of(&self, issuer: &str) -> Option<&Arc<JwtSource>> {
        self.sources.iter().find(|source| source.section.issuer == issuer)
    }

    /// Whether a source speaks for whoever is called so: for none that a source before it speaks for.
    fn may_issue(&self, source: &JwtSource, name: &UserName) -> bool {
        let mut before = self.sources.iter().take_while(|other| other.section.name != source.section.name);
        source.section.issues(name)
            && self.is_to_issue(name)
            && !self.has_section(name)
            && !before.any(|other| other.section.issues(name))
    }

    /// Whether a JWT that showed `name` would do so again, by its source and the stamp of what it was judged by.
    pub(crate) fn still_vouches(&self, source: &str, stamp: &str, name: &UserName) -> bool {
        let source = self.sources.iter().find(|known| known.section.name == source);
        source.is_some_and(|source| source.has_stamp(stamp) && self.may_issue(source, name))
    }

    pub(crate) fn sources(&self) -> &[Arc<JwtSource>] {
        &self.sources
    }

    /// Of which source a token says to be.
    pub(crate) fn source_named_by(&self, token: &str) -> Option<&Arc<JwtSource>> {
        let compact = Compact::parse(token).ok()?;
        self.source_of(compact.issuer()?)
    }

    /// The groups of the file that somebody is in whom a JWT shows.
    fn groups_of<'a>(&'a self, principal: &'a Principal) -> impl Iterator<Item = &'a Known> {
        principal.in_groups().filter_map(|name| self.groups.get(&GroupName::parse(name).ok()?))
    }

    /// What somebody may do with the server: by a token of the file; or by a JWT or its groups, as far as its source may say so. Nobody else
    /// may do anything.
    pub(crate) fn admin(&self, principal: &Principal, now: SystemTime) -> Option<AdminRight> {
        if let Some(Proof::Jwt { source, stamp, admin, .. }) = Proof::of(principal) {
            let name = principal.name().filter(|name| self.still_vouches(source, stamp, name));
            let most = self.sources.iter().find(|known| known.section.name == source)?.section.admin;
            let by_groups = self.groups_of(principal).filter_map(|known| known.admin).max();
            return name.and(admin.max(by_groups)).min(most);
        }
        let record = &self.shown(principal)?.record;
        record.admin.filter(|_| !record.has_expired(now))
    }

    /// What somebody may do in a room. Who is known without a token has what everybody has who is known.
    pub(crate) fn rights(&self, principal: &Principal, room: &RoomName) -> Rights {
        let rule = Rule { sections: &self.sections, anonymous: &self.anonymous };
        let Some(name) = principal.name() else { return rule.rights(None, room) };
        if is_vouched(principal) {
            let groups: Vec<_> = self.groups_of(principal).map(|known| Arc::clone(&known.group)).collect();
            return rule.rights(Some(Person { name, grants: principal.grants(), groups: &groups }), room);
        }
        match self.people.get(name).filter(|_| !is_transported(principal)) {
            Some(record) => rule.rights(Some(record.person()), room),
            None => self.rights_by_name(&rule, name, room),
        }
    }

    /// Whether somebody may write to whoever is called `to`.
    pub(crate) fn may_tell(&self, principal: &Principal, to: &UserName) -> bool {
        let name = principal.name();
        let is_to = |glob: &Glob| glob.matches(to.as_str(), name);
        if is_vouched(principal)
            && (principal.direct().iter().any(is_to)
                || self.groups_of(principal).any(|known| known.direct.iter().any(is_to)))
        {
            return true;
        }
        if let Some(name) = name.filter(|_| !is_vouched(principal))
            && self.sections_of(name).any(|section| section.direct.iter().any(is_to))
        {
            return true;
        }
        let record = name.filter(|_| !is_vouched(principal)).and_then(|name| self.people.get(name));
        self.anonymous_direct.iter().chain(record.map_or(&[][..], |record| &record.direct)).any(is_to)
    }

    /// Whose name it is: that of a token, or one behind it and a dot, as `alice.2` is for alice. The longest such name counts.
    pub(crate) fn owner(&self, name: &UserName) -> Option<&UserName> {
        prefixes(name).find_map(|prefix| self.known(&prefix))
    }

    fn known(&self, name: &UserName) -> Option<&UserName> {
        let named = || self.named.iter().find(|named| *named == name);
        self.people.get(name).map(|record| &record.name).or_else(named)
    }

    fn is_free(&self, name: &UserName) -> bool {
        self.free_names.iter().any(|glob| glob.matches(name.as_str(), None))
    }

    /// Whether somebody may be called `wanted`: whoever is known by a name of its own, and whoever is not by any that is nobody's.
    pub(crate) fn may_be_called(&self, principal: &Principal, wanted: &UserName) -> bool {
        let is_issued = |name: &UserName| {
            !self.is_free(name)
                && (self.sources.iter().any(|source| source.section.issues(name))
                    || self.callout.as_ref().is_some_and(|callout| callout.section.issues(name))
                    || self.has_section(name))
        };
        let is_issued_to = |principal: &Principal| is_vouched(principal) || is_transported(principal);
        match (principal.name(), self.owner(wanted)) {
            (Some(name), Some(owner)) => name == owner && !is_issued_to(principal),
            (Some(name), None) if is_issued_to(principal) => {
                let is_numbered = || wanted.owner_and_number().is_some_and(|(owner, _)| owner == *name);
                // What is behind a dot may be the name of another one.
                wanted == name || (wanted.is_of(name) && (is_numbered() || !is_issued(wanted)))
            }
            (Some(_), None) => false,
            (None, owner) => owner.is_none() && !prefixes(wanted).any(|name| is_issued(&name)),
        }
    }
}

/// Whether a JWT or a callout has shown who it is, and what it may do.
fn is_vouched(principal: &Principal) -> bool {
    ProofKind::of(principal).is_some_and(ProofKind::is_vouched)
}

/// Whether its transport has shown who it is.
fn is_transported(principal: &Principal) -> bool {
    ProofKind::of(principal).is_some_and(ProofKind::is_transported)
}

/// A name, and those that it is behind with a dot, the longest first.
fn prefixes(name: &UserName) -> impl Iterator<Item = UserName> {
    let text = name.as_str();
    // What ends in a dot, or is reserved, is nobody's. Most names have no dot: nothing is parsed for them.
    let whole = (!name.is_reserved()).then(|| name.clone());
    whole.into_iter().chain(text.rmatch_indices('.').filter_map(|(dot, _)| UserName::parse(&text[..dot]).ok()))
}

fn source(section: &JwtSection, before: Option<&Snapshot>) -> JwtSource {
    let before = before.and_then(|before| before.sources.iter().find(|known| known.section.name == section.name));
    match before {
        Some(before) => JwtSource::behind(section.clone(), before),
        None => JwtSource::new(section.clone()),
    }
}

fn granted(grants: &[Grant]) -> Grants {
    grants.iter().map(|grant| (grant.rooms.clone(), grant.rights)).collect()
}

fn globs(direct: &[Direct]) -> impl Iterator<Item = Glob> {
    direct.iter().map(|direct| direct.names.clone())
}

fn section(section: &RoomSection) -> Section {
    Section {
        only: section.only.as_ref().map(|(_, only)| only.clone()),
        anyone: section.anyone.map_or(Rights::NONE, |(_, rights)| rights),
        named: section.named.map_or(Rights::NONE, |(_, rights)| rights),
        ..Section::new(section.rooms.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rules::{AnonymousSection, At, GroupSection};
    use std::time::Duration;

    const AT: At = At { line: 1, column: 1 };

    fn name(text: &str) -> UserName {
        UserName::parse(text).expect("it is a name")
    }

    fn who_is(who: Option<&str>) -> Principal {
        who.map_or_else(Principal::anonymous, |who| Principal::named(name(who)))
    }

    fn room(text: &str) -> RoomName {
        RoomName::parse(text).expect("it is a room")
    }

    fn grant(rooms: &str, rights: Rights) -> Grant {
        Grant { at: AT, rooms: Glob::parse(rooms).expect("it is a glob"), rights }
    }

    fn direct(names: &str) -> Direct {
        Direct { at: AT, names: Glob::parse(names).expect("it is a glob") }
    }

    /// Alice, of staff, with two tokens; bob, and bob.phone; and what everybody may do.
    fn rules() -> Rules {
        let staff = GroupName::parse("staff").expect("it is a name");
        Rules {
            tokens: vec![
                TokenSection {
                    groups: vec![staff.clone()],
                    grants: vec![grant("desk.{name}", Rights::WRITE)],
                    from: vec!["10.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")],
                    expires: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(100)),
                    ..TokenSection::of("alice", &["old", "new"])
                },
                TokenSection { direct: vec![direct("{name}.*")], ..TokenSection::of("bob", &["bobs"]) },
                TokenSection::of("bob.phone", &["phones"]),
            ],
            groups: vec![GroupSection {
                at: AT,
                name: staff,
                grants: vec![grant("ops.**", Rights::ALL)],
                direct: vec![direct("boss")],
                admin: None,
            }],
            anonymous: Some(AnonymousSection {
                at: AT,
                grants: vec![grant("lobby", Rights::JOIN)],
                direct: vec![direct("help*")],
                names: Vec::new(),
            }),
            sections: vec![RoomSection {
                at: AT,
                rooms: Glob::parse("lobby").expect("it is a glob"),
                only: None,
                anyone: None,
                named: Some((AT, Rights::PUBLISH)),
            }],
            jwt: Vec::new(),
            callout: None,
            names: Vec::new(),
            logins: BTreeMap::new(),
        }
    }

    #[test]
    fn a_token_shows_whose_it_is_and_so_does_the_one_that_it_is_changed_for() {
        let snapshot = Snapshot::of(&rules(), &[name("bridge")]);
        let holder = |token: &str| snapshot.holder(&TokenHash::of(token)).map(|holder| holder.record.name.to_string());
        assert_eq!([holder("old"), holder("new")], [Some("alice".to_owned()), Some("alice".to_owned())]);
        assert_eq!([holder("phones"), holder("other")], [Some("bob.phone".to_owned()), None]);
        let alice = snapshot.person(&name("ALICE")).expect("she is there");
        assert!(alice.has_token(&TokenHash::of("old").id()) && !alice.has_token(&TokenHash::of("bobs").id()));
    }

    #[test]
    fn a_token_is_for_its_time_and_its_networks() {
        let snapshot = Snapshot::of(&rules(), &[name("bridge")]);
        let (alice, bob) = (snapshot.person(&name("alice")).unwrap(), snapshot.person(&name("bob")).unwrap());
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!alice.has_expired(at(99)) && alice.has_expired(at(100)) && !bob.has_expired(at(1 << 40)));
        let peer = |address: &str| PeerAddr::Ip((address.parse::<IpAddr>().unwrap(), 9).into());
        let comes = |address: &str| alice.comes_from(&peer(address));
        assert!(comes("10.1.2.3") && comes("::ffff:10.1.2.3") && comes("::1"));
        assert!(!comes("11.0.0.1") && !comes("::2") && !alice.comes_from(&PeerAddr::Unix(None)));
        assert!(bob.comes_from(&PeerAddr::Unix(None)) && bob.comes_from(&peer("11.0.0.1")));
    }

    #[test]
    fn rights_are_those_of_the_rooms_of_everybody_of_groups_and_of_ones_own() {
        let snapshot = Snapshot::of(&rules(), &[name("bridge")]);
        let rights = |who: Option<&str>, of: &str| snapshot.rights(&who_is(who), &room(of));
        assert_eq!(rights(None, "lobby"), Rights::JOIN);
        assert_eq!(rights(Some("nobody"), "lobby"), Rights::JOIN | Rights::PUBLISH);
        assert_eq!(rights(Some("alice"), "ops.east"), Rights::ALL);
        assert_eq!(rights(Some("alice"), "desk.alice"), Rights::WRITE);
        assert_eq!(rights(Some("alice"), "desk.bob"), Rights::NONE);
        assert_eq!(rights(Some("bob"), "ops.east"), Rights::NONE);
        assert_eq!(rights(None, "ops.east"), Rights::NONE);
    }

    #[test]
    fn one_may_write_to_whom_a_glob_names() {
        let snapshot = Snapshot::of(&rules(), &[name("bridge")]);
        let may = |who: Option<&str>, to: &str| snapshot.may_tell(&who_is(who), &name(to));
        assert!(may(None, "helpdesk") && may(Some("alice"), "Boss") && may(Some("bob"), "bob.phone"));
        assert!(!may(None, "boss") && !may(Some("bob"), "boss") && !may(Some("alice"), "bob.phone"));
    }

    #[test]
    fn a_name_of_a_token_is_its_holders_and_so_is_all_behind_it() {
        let snapshot = Snapshot::of(&rules(), &[name("bridge")]);
        let may = |who: Option<&str>, wanted: &str| snapshot.may_be_called(&who_is(who), &name(wanted));
        for wanted in ["alice", "ALICE", "alice.2", "Alice.x.y", "alice."] {
            assert!(!may(None, wanted) && !may(Some("bob"), wanted) && may(Some("alice"), wanted), "{wanted}");
        }
        assert!(may(Some("bob"), "bob.2") && !may(Some("bob"), "bob.phone") && !may(Some("bob"), "bob.phone.2"));
        assert!(may(Some("bob.phone"), "bob.phone.2") && !may(Some("bob.phone"), "bob"));
        assert!(may(None, "alicia") && may(None, "alic") && may(None, "a.alice") && may(None, "carol"));
        assert!(!may(Some("alice"), "carol") && !may(Some("alice"), "alicia"));
        assert!(!may(None, "bridge.2") && !may(Some("alice"), "bridge") && may(Some("bridge"), "bridge.2"));
        assert!(may(Some("bridge"), "bridge.2") && !may(Some("bridge"), "carol") && !may(Some("bridge"), "alice"));
    }
}
