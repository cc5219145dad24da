//! What is asked of a callout, and what its answer says: all of it sound, or nothing.

use crate::policy::jwt::claims::{MOST_GLOBS, MOST_GROUPS};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use switchboard::policy::Claimant;
use switchboard::{Glob, Grants, GroupName, Rights, UserName};

/// Of what is asked; one that asks for more has another number.
const VERSION: u32 = 1;

/// How long an answer may be used again at most, whatever it says.
const MOST_CACHE: Duration = Duration::from_mins(5);

/// Of a refusal's text, what is told.
const TEXT_CHARACTERS: usize = 200;

/// Whom a callout takes the holder of a token for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attested {
    pub(crate) name: UserName,
    /// Some of which the file may not have.
    pub(crate) groups: Vec<GroupName>,
    pub(crate) grants: Grants,
    pub(crate) direct: Vec<Glob>,
    pub(crate) expires: Option<SystemTime>,
    /// For how long the same question has the same answer.
    pub(crate) cache: Duration,
}

/// What an answer comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CalloutAnswer {
    Yes(Box<Attested>),
    /// With what is told to whoever asked to come in.
    No(Option<Box<str>>),
}

/// The question, as JSON.
pub(super) fn question(token: &str, claimant: &Claimant) -> Vec<u8> {
    let mut question = json!({ "version": VERSION, "token": token });
    let address = |address: SocketAddr| address.ip().to_canonical().to_string();
    for (key, value) in [
        ("address", claimant.address.ip().map(address)),
        ("via", claimant.via.map(address)),
        ("transport", claimant.transport.map(str::to_owned)),
        ("listener", claimant.listener().map(str::to_owned)),
    ] {
        if let Some(value) = value {
            question[key] = value.into();
        }
    }
    if let Some(connection) = claimant.connection {
        question["connection"] = u64::from(connection).into();
    }
    question.to_string().into_bytes()
}

/// What is said with this status.
///
/// # Errors
/// It is no answer, for this reason: neither a yes nor a no.
pub(super) fn read(status: StatusCode, body: &[u8]) -> Result<CalloutAnswer, String> {
    match status {
        StatusCode::OK => said(body).map(|said| CalloutAnswer::Yes(Box::new(said))).map_err(str::to_owned),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(CalloutAnswer::No(text(body))),
        status => Err(format!("its status is {}", status.as_u16())),
    }
}

fn text(body: &[u8]) -> Option<Box<str>> {
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else { return None };
    let text: String = object.get("text")?.as_str()?.chars().take(TEXT_CHARACTERS).collect();
    (!text.is_empty()).then(|| text.into())
}

fn said(body: &[u8]) -> Result<Attested, &'static str> {
    let Ok(Value::Object(mut object)) = serde_json::from_slice(body) else { return Err("it is no JSON object") };
    let name = object.remove("name");
    let name = name.as_ref().and_then(Value::as_str).and_then(|name| UserName::parse(name).ok());
    let said = Attested {
        name: name.ok_or("`name` is no name that somebody here can have")?,
        groups: groups(object.remove("groups"))?,
        grants: rooms(object.remove("rooms"))?,
        direct: direct(object.remove("direct"))?,
        expires: expires(object.remove("expires"))?,
        cache: cache(object.remove("cache"))?,
    };
    // It may be one that was to limit what is said.
    if object.is_empty() { Ok(said) } else { Err("it has a key besides name, groups, rooms, direct, expires, cache") }
}

fn groups(value: Option<Value>) -> Result<Vec<GroupName>, &'static str> {
    let texts = texts(value).filter(|texts| texts.len() <= MOST_GROUPS).ok_or("`groups` is no list of texts")?;
    // What is no name of a group is none of ours.
    Ok(texts.iter().filter_map(|text| GroupName::parse(text).ok()).collect())
}

fn rooms(value: Option<Value>) -> Result<Grants, &'static str> {
    const WRONG: &str = "`rooms` is not as {\"ops.**\": [\"all\"]}";
    let rooms = match value {
        None => Map::new(),
        Some(Value::Object(rooms)) if rooms.len() <= MOST_GLOBS => rooms,
        Some(_) => return Err(WRONG),
    };
    let mut grants = Grants::new();
    for (glob, words) in rooms {
        let words = texts(Some(words)).ok_or(WRONG)?;
        let rights: Result<Rights, _> = words.iter().map(|word| word.parse::<Rights>()).collect();
        grants.grant(Glob::parse(&glob).map_err(|_| WRONG)?, rights.map_err(|_| WRONG)?);
    }
    Ok(grants)
}

fn direct(value: Option<Value>) -> Result<Vec<Glob>, &'static str> {
    const WRONG: &str = "`direct` is no list of globs";
    let texts = texts(value).filter(|texts| texts.len() <= MOST_GLOBS).ok_or(WRONG)?;
    texts.iter().map(|text| Glob::parse(text).map_err(|_| WRONG)).collect()
}

fn expires(value: Option<Value>) -> Result<Option<SystemTime>, &'static str> {
    const WRONG: &str = "`expires` is no time such as 2027-06-30T12:00:00Z";
    let Some(value) = value else { return Ok(None) };
    let time = value.as_str().and_then(|text| humantime::parse_rfc3339(text).ok());
    time.map(Some).ok_or(WRONG)
}

fn cache(value: Option<Value>) -> Result<Duration, &'static str> {
    let Some(value) = value else { return Ok(Duration::ZERO) };
    let seconds = value.as_u64().ok_or("`cache` is no whole number of seconds")?;
    Ok(Duration::from_secs(seconds).min(MOST_CACHE))
}

/// A list of texts; what is not there is an empty one.
fn texts(value: Option<Value>) -> Option<Vec<String>> {
    let Value::Array(values) = value.unwrap_or_else(|| Value::Array(Vec::new())) else { return None };
    let text = |value| if let Value::String(text) = value { Some(text) } else { None };
    values.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;
    use switchboard::{PeerAddr, RoomName};

    fn yes(body: &str) -> Result<Attested, String> {
        match read(StatusCode::OK, body.as_bytes())? {
            CalloutAnswer::Yes(said) => Ok(*said),
            answer @ CalloutAnswer::No(_) => panic!("{answer:?}"),
        }
    }

    #[test]
    fn a_yes_says_who_it_is_and_may_say_what_it_may_do_and_for_how_long() {
        let body = r#"{"name":"alice","expires":"1970-01-01T00:01:40Z","groups":["staff","no group"],
                       "rooms":{"ops.**":["read","publish"]},"direct":["*"],"cache":60}"#;
        let said = yes(body).unwrap();
        assert_eq!(said.name.as_str(), "alice");
        assert_eq!(said.groups, [GroupName::parse("staff").unwrap()]);
        assert_eq!(said.expires, Some(UNIX_EPOCH + Duration::from_secs(100)));
        assert_eq!(said.cache, Duration::from_mins(1));
        let rights = |room: &str| said.grants.rights(&RoomName::parse(room).unwrap(), Some(&said.name));
        assert_eq!((rights("ops.east"), rights("lobby")), (Rights::READ | Rights::PUBLISH, Rights::NONE));
        assert_eq!(said.direct, [Glob::parse("*").unwrap()]);
        let least = yes(r#"{"name":"bob"}"#).unwrap();
        assert_eq!((least.cache, least.expires, least.grants.iter().len()), (Duration::ZERO, None, 0));
        assert_eq!(yes(r#"{"name":"bob","cache":301}"#).unwrap().cache, Duration::from_mins(5));
    }

    #[test]
    fn what_is_not_wholly_sound_is_no_answer() {
        let many: Vec<_> = (0..=MOST_GLOBS).map(|number| format!("\"r{number}\":[]")).collect();
        for body in [
            "",
            "null",
            "true",
            "[]",
            "{}",
            "<html>",
            r#"{"name":"alice"} x"#,
            r#"{"name":null}"#,
            r#"{"name":7}"#,
            r#"{"name":""}"#,
            r#"{"name":"guest-1"}"#,
            r#"{"name":"server"}"#,
            r#"{"name":"a b"}"#,
            r#"{"name":"alice","groups":"staff"}"#,
            r#"{"name":"alice","groups":[1]}"#,
            r#"{"name":"alice","rooms":["ops"]}"#,
            r#"{"name":"alice","rooms":{"ops":"all"}}"#,
            r#"{"name":"alice","rooms":{"ops":["al"]}}"#,
            r#"{"name":"alice","rooms":{"o ps":["all"]}}"#,
            r#"{"name":"alice","direct":["o ps"]}"#,
            r#"{"name":"alice","direct":null}"#,
            r#"{"name":"alice","expires":"tomorrow"}"#,
            r#"{"name":"alice","expires":1900000000}"#,
            r#"{"name":"alice","expires":null}"#,
            r#"{"name":"alice","cache":-1}"#,
            r#"{"name":"alice","cache":1.5}"#,
            r#"{"name":"alice","cache":"60"}"#,
            r#"{"name":"alice","expire":"2027-06-30T12:00:00Z"}"#,
            &format!(r#"{{"name":"alice","rooms":{{{}}}}}"#, many.join(",")),
        ] {
            assert!(yes(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_no_has_a_text_or_none_and_any_other_status_is_no_answer() {
        let no = |body: &str| read(StatusCode::UNAUTHORIZED, body.as_bytes());
        assert_eq!(no(r#"{"text":"locked"}"#), Ok(CalloutAnswer::No(Some("locked".into()))));
        for body in ["", "locked", "{}", r#"{"text":""}"#, r#"{"text":7}"#] {
            assert_eq!(no(body), Ok(CalloutAnswer::No(None)), "{body}");
        }
        let long = format!(r#"{{"text":"{}"}}"#, "é".repeat(1000));
        assert_eq!(no(&long), Ok(CalloutAnswer::No(Some("é".repeat(TEXT_CHARACTERS).into()))));
        assert!(read(StatusCode::FORBIDDEN, b"").is_ok());
        let sound = br#"{"name":"alice"}"#;
        for status in [201, 204, 206, 301, 302, 400, 404, 407, 429, 500, 502, 503] {
            assert!(read(StatusCode::from_u16(status).unwrap(), sound).is_err(), "{status}");
        }
    }

    #[test]
    fn a_question_has_the_token_and_what_is_known_of_whoever_shows_it() {
        let asked = |claimant: &Claimant| String::from_utf8(question("a\"b", claimant)).unwrap();
        let mut client = Claimant::new(PeerAddr::Ip("[::ffff:10.0.0.1]:9".parse().unwrap()));
        assert_eq!(asked(&client), r#"{"address":"10.0.0.1","token":"a\"b","version":1}"#);
        client.via = Some("10.0.0.2:9".parse().unwrap());
        client.transport = Some("wss");
        client.connection = Some(4711.into());
        assert_eq!(
            asked(&client),
            r#"{"address":"10.0.0.1","connection":4711,"token":"a\"b","transport":"wss","version":1,"via":"10.0.0.2"}"#
        );
        assert_eq!(asked(&Claimant::new(PeerAddr::Unix(None))), r#"{"token":"a\"b","version":1}"#);
    }
}
