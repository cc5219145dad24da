//! An operator's program of the test's; the clock stands still but for what is waited for.

use super::super::callout::CalloutSection;
use super::super::callout::place::{Answering, PutQuestion};
use super::super::rules::{At, Rules};
use super::*;
use bytes::Bytes;
use http::StatusCode;
use std::collections::HashMap;
use switchboard::policy::{Credentials, Policy as _};
use switchboard::testing::{Peer, serve};
use switchboard::{
    BoxError, CloseReason, Connection, Format, Glob, HubLimits, Join, Lines, PeerAddr, RoomName, Timeouts,
};
use switchboard_load::typed::Secret;
use tokio::time::{advance, sleep, timeout};

/// What it answers next, by token; the last answer stays. How often it was asked, and at once.
#[derive(Default)]
struct Program {
    answers: Mutex<HashMap<String, Vec<Answer>>>,
    asked: Mutex<usize>,
    now: Mutex<usize>,
    most: Mutex<usize>,
}

#[derive(Clone, Copy)]
enum Answer {
    /// A yes for so many seconds.
    For(u64),
    /// For somebody else.
    AsBob,
    /// To be in another room.
    Elsewhere(u64),
    /// A yes that was over long ago.
    Over,
    No,
    Broken,
}

impl Answer {
    fn said(self) -> Result<(StatusCode, String), String> {
        let until = |seconds| humantime::format_rfc3339_millis(SystemTime::now() + Duration::from_secs(seconds));
        let yes = |name: &str, room: &str, until: String| {
            let body = format!(r#"{{"name":"{name}","rooms":{{"{room}":["all"]}},"expires":"{until}"}}"#);
            Ok((StatusCode::OK, body))
        };
        match self {
            Self::For(seconds) => yes("alice", "ops", until(seconds).to_string()),
            Self::AsBob => yes("bob", "ops", until(100).to_string()),
            Self::Elsewhere(seconds) => yes("alice", "elsewhere", until(seconds).to_string()),
            Self::Over => yes("alice", "ops", "2001-01-01T00:00:00Z".to_owned()),
            Self::No => Ok((StatusCode::UNAUTHORIZED, String::new())),
            Self::Broken => Err("it is down".to_owned()),
        }
    }
}

impl PutQuestion for Program {
    fn put<'a>(&'a self, question: Bytes, _: Option<&'a Secret>) -> Answering<'a> {
        Box::pin(async move {
            *self.asked.lock() += 1;
            let now = {
                let mut now = self.now.lock();
                *now += 1;
                *now
            };
            let most = now.max(*self.most.lock());
            *self.most.lock() = most;
            // It takes a while, in which others come.
            sleep(Duration::from_millis(100)).await;
            *self.now.lock() -= 1;
            let question: serde_json::Value = serde_json::from_slice(&question).unwrap();
            let mut answers = self.answers.lock();
            let answers = answers.get_mut(question["token"].as_str().unwrap()).unwrap();
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
            answer.said().map(|(status, body)| (status, Bytes::from(body)))
        })
    }
}

struct Stage {
    program: Arc<Program>,
    policy: Arc<FilePolicy>,
    hub: Hub,
}

impl Stage {
    fn new() -> Self {
        let program = Arc::new(Program::default());
        let section = CalloutSection {
            at: At { line: 1, column: 1 },
            place: Some(Arc::<Program>::clone(&program)),
            url: "http://127.0.0.1/".to_owned(),
            secret: None,
            ca: None,
            mark: None,
            names: vec![Glob::parse("*").unwrap()],
        };
        let policy = Arc::new(FilePolicy::new(&Rules { callout: Some(section), ..Rules::default() }, Vec::new()));
        let hub = Hub::with_policy(HubLimits::default(), Arc::<FilePolicy>::clone(&policy));
        Self { program, policy, hub }
    }

    fn answers(&self, token: &str, answers: &[Answer]) {
        self.program.answers.lock().insert(token.to_owned(), answers.to_vec());
    }

    fn asked(&self) -> usize {
        *self.program.asked.lock()
    }

    /// Somebody who shows `token`, and is in a room.
    async fn shows(&self, token: &str) -> Peer {
        let (policy, hub, token) = (Arc::clone(&self.policy), self.hub.clone(), Token::new(token));
        let handler = move |mut conn: Connection<Lines>| {
            let (policy, hub, token) = (Arc::clone(&policy), hub.clone(), token.clone());
            async move {
                let me = hub.enter(&conn, Format::Text);
                let claimant = Claimant::new(PeerAddr::Memory);
                let shown = policy.authenticate(Credentials::Token(token), claimant).await;
                me.authorize(shown.map_err(|refusal| refusal.to_string())?);
                let room = me.room(&RoomName::parse("ops").unwrap())?;
                let _seat = me.join(&room, Join::default())?;
                conn.send("shown").await?;
                while conn.recv().await?.is_some() {}
                Ok::<(), BoxError>(())
            }
        };
        let timeouts = Timeouts { idle: Some(Duration::from_hours(10)), ..Timeouts::default() };
        let mut peer = serve(handler, timeouts);
        assert_eq!(peer.line().await, "shown\n");
        peer
    }

    async fn while_asking(&self, test: impl Future<Output = ()>) {
        tokio::select! {
            never = Arc::clone(&self.policy).keep_asking(&self.hub) => match never {},
            () = test => {}
        }
    }
}

/// What it is told within so many seconds, and why it is closed by then, if it is.
async fn told(peer: &mut Peer, seconds: u64) -> (Vec<String>, Option<CloseReason>) {
    let mut told = Vec::new();
    let all = async {
        loop {
            match peer.line().await {
                // The server waits for its end for a moment.
                line if line.is_empty() => return peer.closed().await,
                line => told.push(line.trim_end().to_owned()),
            }
        }
    };
    let closed = timeout(Duration::from_secs(seconds), all).await.ok();
    (told, closed)
}

fn is_told(told: &[String], what: &str) -> bool {
    told.iter().any(|line| line.contains(what))
}

#[tokio::test(start_paused = true)]
async fn who_is_vouched_for_again_goes_on_and_may_do_what_is_said_then() {
    let stage = Stage::new();
    stage.answers("hers", &[Answer::For(100), Answer::For(100), Answer::Elsewhere(1000)]);
    let test = async {
        let mut alice = stage.shows("hers").await;
        let (said, closed) = told(&mut alice, 99).await;
        assert_eq!((stage.asked(), closed), (1, None), "not before its end");
        // What is told before is the end that comes if nothing is said.
        assert!(is_told(&said, "your authorization ends in"), "{said:?}");
        let (said, closed) = told(&mut alice, 99).await;
        assert_eq!((stage.asked(), closed), (2, None));
        assert!(!is_told(&said, "removed"), "{said:?}");
        let (said, closed) = told(&mut alice, 10).await;
        assert_eq!((stage.asked(), closed), (3, None));
        assert!(is_told(&said, "[ops] you were removed"), "{said:?}");
        assert_eq!(told(&mut alice, 900).await.1, None);
        assert_eq!(stage.asked(), 3);
    };
    stage.while_asking(test).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_not_vouched_for_any_more_goes_at_once() {
    let stage = Stage::new();
    let (revoked, expired) = (CloseReason::Revoked, CloseReason::Expired);
    for (then, reason) in [(Answer::No, revoked), (Answer::AsBob, revoked), (Answer::Over, expired)] {
        stage.answers("hers", &[Answer::For(100), then]);
        stage.answers("his", &[Answer::For(1000)]);
        let test = async {
            let (mut alice, mut other) = (stage.shows("hers").await, stage.shows("his").await);
            assert_eq!(told(&mut alice, 99).await.1, None);
            assert_eq!(told(&mut alice, 6).await.1, Some(reason));
            assert_eq!(told(&mut other, 100).await.1, None, "of the same name, by another token");
        };
        stage.while_asking(test).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_nobody_answers_it_is_asked_again_until_half_a_minute_is_over() {
    let stage = Stage::new();
    stage.answers("hers", &[Answer::For(100), Answer::Broken, Answer::Broken, Answer::For(1000)]);
    stage.answers("his", &[Answer::For(100), Answer::Broken]);
    let test = async {
        let (mut hers, mut his) = (stage.shows("hers").await, stage.shows("his").await);
        sleep(Duration::from_secs(125)).await;
        assert_eq!((told(&mut hers, 1).await.1, told(&mut his, 1).await.1), (None, None));
        assert_eq!(told(&mut his, 8).await.1, Some(CloseReason::Expired));
        assert_eq!(told(&mut hers, 60).await.1, None, "it was answered in time");
        let asked = stage.asked();
        // At 100 s, and each five seconds.
        assert!((2 + 3 + 6..=2 + 3 + 8).contains(&asked), "{asked}");
        sleep(Duration::from_secs(100)).await;
        assert_eq!(stage.asked(), asked, "nobody is asked about who is gone");
    };
    stage.while_asking(test).await;
}

#[tokio::test(start_paused = true)]
async fn so_many_are_asked_about_at_once_and_nobody_who_is_gone() {
    let stage = Stage::new();
    let shown: Vec<_> = (0..100).map(|number| format!("token-{number}")).collect();
    for token in &shown {
        stage.answers(token, &[Answer::For(100), Answer::For(1000)]);
    }
    let test = async {
        let mut principals = Vec::new();
        for token in &shown {
            let claimant = Claimant::new(PeerAddr::Memory);
            let shown = stage.policy.authenticate(Credentials::Token(Token::new(token)), claimant).await.unwrap();
            principals.push(shown);
        }
        assert_eq!((stage.asked(), *stage.program.most.lock()), (100, 1));
        principals.truncate(90);
        advance(Duration::from_secs(101)).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!((stage.asked(), *stage.program.most.lock()), (190, AT_ONCE));
    };
    stage.while_asking(test).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_for_a_request_is_not_kept_until_its_end() {
    let stage = Stage::new();
    stage.answers("hers", &[Answer::For(10_000)]);
    for _ in 0..10 * FEW {
        let claimant = Claimant::new(PeerAddr::Memory);
        stage.policy.authenticate(Credentials::Token(Token::new("hers")), claimant).await.unwrap();
    }
    assert!(stage.policy.renewals.queue.lock().due.len() <= 2 * FEW);
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_soon_over_are_asked_for_every_five_seconds() {
    let stage = Stage::new();
    stage.answers("hers", &[Answer::For(1)]);
    stage
        .while_asking(async {
            let mut peer = stage.shows("hers").await;
            let (lines, closed) = told(&mut peer, 60).await;
            assert_eq!(closed, None, "{lines:?}");
            assert!((10..=13).contains(&stage.asked()), "{}", stage.asked());
        })
        .await;
}
