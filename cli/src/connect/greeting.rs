//! What is asked of a server before anything that was typed is said to it: a room, and a name.
//!
//! Only of a server that has said that it takes commands, since any other would publish them; and one thing behind the answer to
//! the other, since what is said behind a join that failed would be said elsewhere. Knows of no connection: it says what
//! to send, and when.

use super::credential::is_shown_by;
use super::told;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use switchboard::Escaped;
use switchboard::grammar::{Command, ErrorCode, Event, Input, Reply, parse};
use tokio::time::Instant;

/// How long a server has to say that it takes commands, as rooms do at once.
const WELCOME: Duration = Duration::from_secs(5);

/// How long it has before it is taken for a server of another kind, where all that it would be asked is what it may want.
const OTHER_SERVER: Duration = Duration::from_secs(1);

/// How long it has to answer one. A datagram may be lost, so that it is sent again.
const ANSWER: Duration = Duration::from_secs(10);
const DATAGRAM_ANSWER: Duration = Duration::from_secs(1);
const MOST_TRIES: u32 = 5;

#[derive(Debug)]
pub(super) struct Greeting {
    asks: VecDeque<Bytes>,
    is_datagrams: bool,
    /// Whether the first is left out where a server does not greet.
    is_optional: bool,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The server has not greeted.
    Waiting {
        until: Instant,
    },
    Asking {
        tries: u32,
    },
    Asked {
        until: Instant,
        tries: u32,
    },
    Refused(String),
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GreetingStep {
    Send(Bytes),
    /// Look again then, or when something has come.
    Wait(Instant),
    Refused(String),
    /// What is typed may be said.
    Through,
}

impl Greeting {
    pub(super) fn new(asks: impl IntoIterator<Item = Bytes>, is_datagrams: bool, now: Instant) -> Self {
        let (asks, phase) = (asks.into_iter().collect(), Phase::Asking { tries: 0 });
        let mut greeting = Self { asks, is_datagrams, is_optional: false, phase };
        greeting.begin_again(now);
        greeting
    }

    /// Has the first be asked only of a server that greets.
    pub(super) fn optional(mut self, is_optional: bool, now: Instant) -> Self {
        self.is_optional = is_optional;
        self.begin_again(now);
        self
    }

    /// There is another connection.
    pub(super) fn begin_again(&mut self, now: Instant) {
        // Whoever joins over UDP is greeted by that, and whoever is no member may say it.
        self.phase = if self.is_datagrams {
            Phase::Asking { tries: 0 }
        } else {
            Phase::Waiting { until: now + self.patience() }
        };
    }

    /// How long a greeting is waited for.
    fn patience(&self) -> Duration {
        // Nothing else waits for it than what is typed.
        if self.is_optional && self.asks.len() == 1 { OTHER_SERVER } else { WELCOME }
    }

    /// Whether all was asked and answered.
    pub(super) fn is_through(&self) -> bool {
        self.asks.is_empty()
    }

    /// Nothing more is asked.
    pub(super) fn give_up(&mut self) {
        self.asks.clear();
    }

    pub(super) fn step(&mut self, now: Instant) -> GreetingStep {
        let Some(ask) = self.asks.front() else { return GreetingStep::Through };
        let most = if self.is_datagrams { MOST_TRIES } else { 1 };
        match &self.phase {
            Phase::Waiting { until } | Phase::Asked { until, .. } if now < *until => GreetingStep::Wait(*until),
            Phase::Waiting { .. } if self.is_optional && self.asks.len() == 1 => {
                self.asks.clear();
                GreetingStep::Through
            }
            Phase::Waiting { .. } => GreetingStep::Refused(format!(
                "the server has not said that it takes commands; it would publish `{}`",
                shown(ask)
            )),
            Phase::Asking { tries } | Phase::Asked { tries, .. } if *tries < most => {
                let answer = if self.is_datagrams { DATAGRAM_ANSWER } else { ANSWER };
                let ask = ask.clone();
                self.phase = Phase::Asked { until: now + answer, tries: tries + 1 };
                GreetingStep::Send(ask)
            }
            Phase::Asking { .. } | Phase::Asked { .. } => {
                GreetingStep::Refused(format!("no answer to `{}`", shown(ask)))
            }
            Phase::Refused(why) => GreetingStep::Refused(why.clone()),
        }
    }

    /// Takes note of a frame that came.
    pub(super) fn handle_frame(&mut self, frame: &[u8]) {
        let Some(ask) = self.asks.front() else { return };
        let event = told::object(frame).or_else(|| told::line(frame));
        match (&self.phase, event) {
            (Phase::Waiting { .. }, Some(Event::Reply(Reply::Welcome { .. }))) => {
                self.phase = Phase::Asking { tries: 0 }
            }
            // It takes one command, and then others.
            (Phase::Waiting { .. }, event) if is_shown_by(ask) && wants_token(event.as_ref(), frame) => {
                self.phase = Phase::Asking { tries: 0 };
            }
            (Phase::Asked { .. }, Some(Event::Failure(failure))) => {
                self.phase = Phase::Refused(format!("`{}`: {}: {}", shown(ask), failure.code, failure.text));
            }
            (Phase::Asked { .. }, event) => {
                if frame.starts_with(b"! ") || frame.starts_with(b"{\"error\"") {
                    let error = frame.strip_prefix(b"! ").unwrap_or(frame);
                    self.phase = Phase::Refused(format!("`{}`: {}", shown(ask), Escaped(error)));
                } else if is_answer(ask, event.as_ref(), frame) {
                    self.asks.pop_front();
                    self.phase = Phase::Asking { tries: 0 };
                }
            }
            _ => {}
        }
    }
}

/// A command as it may be shown: nobody else's business is the token that is in one.
fn shown(ask: &Bytes) -> String {
    if is_shown_by(ask) { "/auth …".to_owned() } else { Escaped(ask).to_string() }
}

/// Whether a server greets by asking for a token.
pub(super) fn wants_token(event: Option<&Event>, frame: &[u8]) -> bool {
    let is_asked = matches!(event, Some(Event::Failure(failure)) if failure.code == ErrorCode::NotAuthorized);
    is_asked || frame.starts_with(b"! not-authorized")
}

/// Whether a frame says that what was asked is so.
fn is_answer(ask: &Bytes, event: Option<&Event>, frame: &[u8]) -> bool {
    match (parse(ask.clone()), event) {
        (Ok(Input::Command(Command::Join { room, .. })), Some(Event::Reply(Reply::Joined { room: joined, .. }))) => {
            room == *joined
        }
        // Over UDP whoever joins is greeted by that.
        (Ok(Input::Command(Command::Join { room, .. })), Some(Event::Reply(Reply::Welcome { room: joined, .. }))) => {
            Some(&room) == joined.as_ref()
        }
        (Ok(Input::Command(Command::Name { name, .. })), Some(Event::Reply(Reply::Named { name: named }))) => {
            name == *named
        }
        (Ok(Input::Command(Command::Auth(_))), Some(Event::Reply(Reply::Authorized { .. }))) => true,
        (Ok(Input::Command(Command::Auth(_))), None) => frame.starts_with(b"* authorized"),
        (Ok(Input::Command(Command::Name { name, .. })), None) => frame == format!("* you are {name}").as_bytes(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOIN: Bytes = Bytes::from_static(b"/join ops");
    const NAME: Bytes = Bytes::from_static(b"/name bob");

    fn greeting(is_datagrams: bool) -> (Greeting, Instant) {
        let now = Instant::now();
        (Greeting::new([JOIN, NAME], is_datagrams, now), now)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_asked_of_a_server_that_takes_no_commands() {
        let (mut greeting, now) = greeting(false);
        assert_eq!(greeting.step(now), GreetingStep::Wait(now + WELCOME));
        for frame in
            ["[lobby] bob: hi", "* bob joined", r#"{"event":"you-joined","room":"ops","members":1,"id":"a-0"}"#]
        {
            greeting.handle_frame(frame.as_bytes());
        }
        assert_eq!(greeting.step(now), GreetingStep::Wait(now + WELCOME));
        let why = "the server has not said that it takes commands; it would publish `/join ops`".to_owned();
        assert_eq!(greeting.step(now + WELCOME), GreetingStep::Refused(why));
    }

    #[tokio::test(start_paused = true)]
    async fn one_thing_is_asked_behind_the_answer_to_the_other() {
        for [welcome, joined, named] in [
            [
                "* you are guest-1 in lobby; /help lists the commands",
                "* [ops] you joined at a-0: 1 member",
                "* you are bob",
            ],
            [
                r#"{"event":"welcome","name":"guest-1","room":"lobby"}"#,
                r#"{"event":"you-joined","room":"ops","members":1,"id":"a-0"}"#,
                r#"{"event":"named","name":"bob"}"#,
            ],
        ] {
            let (mut greeting, now) = greeting(false);
            greeting.handle_frame(welcome.as_bytes());
            assert_eq!(greeting.step(now), GreetingStep::Send(JOIN));
            greeting.handle_frame(b"[ops] eve: * you are bob");
            assert_eq!(greeting.step(now), GreetingStep::Wait(now + ANSWER));
            greeting.handle_frame(joined.as_bytes());
            assert_eq!(greeting.step(now), GreetingStep::Send(NAME));
            greeting.handle_frame(named.as_bytes());
            assert!(greeting.is_through());
            assert_eq!(greeting.step(now), GreetingStep::Through);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_told() {
        for (refusal, why) in [
            ("! room-full: ops is full", "`/join ops`: room-full: ops is full"),
            (r#"{"error":"no-room","text":"none"}"#, "`/join ops`: no-room: none"),
            (r#"{"error":"of-tomorrow"}"#, r#"`/join ops`: {"error":"of-tomorrow"}"#),
        ] {
            let (mut greeting, now) = greeting(false);
            greeting.handle_frame(b"* you are guest-1 in lobby; /help lists the commands");
            assert_eq!(greeting.step(now), GreetingStep::Send(JOIN));
            greeting.handle_frame(refusal.as_bytes());
            assert_eq!(greeting.step(now), GreetingStep::Refused(why.to_owned()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_shown_first_and_to_nobody_else() {
        const AUTH: Bytes = Bytes::from_static(b"/auth mysecret");
        for [asked, authorized] in [
            ["! not-authorized: a token is needed here", "* authorized as bob"],
            [r#"{"error":"not-authorized","text":"a token is needed here"}"#, r#"{"event":"authorized","name":"bob"}"#],
            ["* you are guest-1 in lobby; /help lists the commands", "* authorized"],
        ] {
            let now = Instant::now();
            let mut greeting = Greeting::new([AUTH, JOIN], false, now);
            greeting.handle_frame(asked.as_bytes());
            assert_eq!(greeting.step(now), GreetingStep::Send(AUTH));
            greeting.handle_frame(authorized.as_bytes());
            assert_eq!(greeting.step(now), GreetingStep::Send(JOIN), "{authorized}");
        }
        for told in [&[][..], &["! not-authorized: log in"], &["! not-authorized: log in", "! not-authorized: who?"]] {
            let now = Instant::now();
            let mut greeting = Greeting::new([AUTH], false, now);
            for frame in told {
                greeting.handle_frame(frame.as_bytes());
                let _ = greeting.step(now);
            }
            let GreetingStep::Refused(why) = greeting.step(now + WELCOME + ANSWER) else { panic!("{told:?}") };
            assert!(why.contains("`/auth …`") && !why.contains("mysecret"), "{why}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_the_environment_is_for_whoever_greets() {
        const AUTH: Bytes = Bytes::from_static(b"/auth mysecret");
        let now = Instant::now();
        let mut greeting = Greeting::new([AUTH], false, now).optional(true, now);
        assert_eq!(greeting.step(now), GreetingStep::Wait(now + OTHER_SERVER));
        assert_eq!(greeting.step(now + OTHER_SERVER), GreetingStep::Through, "an echo takes no tokens");
        let mut greeting = Greeting::new([AUTH], false, now).optional(true, now);
        greeting.handle_frame(b"* you are guest-1 in lobby; /help lists the commands");
        assert_eq!(greeting.step(now), GreetingStep::Send(AUTH));
        greeting.handle_frame(b"! not-authorized: unknown credential");
        assert!(matches!(greeting.step(now), GreetingStep::Refused(_)), "a wrong one is no less wrong");
        let mut greeting = Greeting::new([AUTH, JOIN], false, now).optional(true, now);
        assert!(matches!(greeting.step(now + WELCOME), GreetingStep::Refused(_)), "nor can a room be joined");
    }

    #[tokio::test(start_paused = true)]
    async fn a_datagram_that_is_not_answered_is_sent_again() {
        let (mut greeting, now) = greeting(true);
        for second in 0..MOST_TRIES {
            assert_eq!(greeting.step(now + DATAGRAM_ANSWER * second), GreetingStep::Send(JOIN));
        }
        let why = "no answer to `/join ops`".to_owned();
        assert_eq!(greeting.step(now + DATAGRAM_ANSWER * MOST_TRIES), GreetingStep::Refused(why));
        greeting.handle_frame(b"* [ops] you joined at a-0: 1 member");
        assert_eq!(greeting.step(now), GreetingStep::Send(NAME));
    }
}
