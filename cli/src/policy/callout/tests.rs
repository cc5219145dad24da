use super::*;
use crate::fetch::Remote;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard::{PeerAddr, UserName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A program that is asked, and what was seen of the questions.
#[derive(Default)]
struct Asked {
    all: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
    /// Nothing is answered before.
    go: Notify,
}

impl Asked {
    /// The body of a question; it is being asked from now on.
    async fn question(&self, stream: &mut TcpStream) -> String {
        let mut read = Vec::new();
        loop {
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "it ended before the question did");
            read.extend_from_slice(&bytes[..count]);
            let text = str::from_utf8(&read).unwrap();
            if let Some((_, body)) = text.split_once("\r\n\r\n")
                && text.contains(&format!("content-length: {}\r\n", body.len()))
            {
                self.all.fetch_add(1, Ordering::SeqCst);
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                return text.to_owned();
            }
        }
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A callout whose program says `text` to everybody, at once or once it may.
async fn callout(text: String, is_held: bool) -> (Arc<Callout>, Arc<Asked>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/who", listener.local_addr().unwrap());
    let section = CalloutSection {
        at: At { line: 1, column: 1 },
        place: Some(Arc::new(Remote::new(&url, None).unwrap())),
        url,
        secret: Some(Secret::new("s3cret")),
        ca: None,
        mark: None,
        names: Vec::new(),
    };
    let (asked, mut tasks) = (Arc::new(Asked::default()), JoinSet::new());
    let seen = Arc::clone(&asked);
    tasks.spawn(async move {
        let mut streams = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (seen, text) = (Arc::clone(&seen), text.clone());
            streams.spawn(async move {
                let question = seen.question(&mut stream).await;
                assert!(question.contains("\r\nauthorization: Bearer s3cret\r\n"), "{question}");
                if is_held {
                    seen.go.notified().await;
                }
                seen.now.fetch_sub(1, Ordering::SeqCst);
                // It may have gone away.
                let _ = stream.write_all(text.as_bytes()).await;
            });
        }
    });
    (Arc::new(Callout::new(section, None)), asked, tasks)
}

fn yes(answer: Result<CalloutAnswer, NoAnswer>) -> UserName {
    match answer {
        Ok(CalloutAnswer::Yes(said)) => said.name,
        answer => panic!("{answer:?}"),
    }
}

/// Of whom nothing is known.
fn somebody() -> Claimant {
    Claimant::new(PeerAddr::Memory)
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

const ALICE: &str = r#"{"name":"alice"}"#;

#[tokio::test]
async fn a_yes_is_used_again_as_long_as_it_says_and_its_token_is_good() {
    let (callout, asked, _tasks) = callout(http("200 OK", r#"{"name":"alice","cache":60}"#), false).await;
    let here = Claimant::new(PeerAddr::Ip("10.0.0.1:9".parse().unwrap()));
    for _ in 0..3 {
        assert_eq!(yes(callout.ask("a", &here, SystemTime::now()).await).as_str(), "alice");
    }
    assert_eq!(asked.all.load(Ordering::SeqCst), 1);
    // Another token, another place, and a new beginning are other questions.
    yes(callout.ask("b", &here, SystemTime::now()).await);
    yes(callout.ask("a", &somebody(), SystemTime::now()).await);
    let mut by_proxy = here.clone();
    by_proxy.via = Some("10.0.0.2:9".parse().unwrap());
    let mut by_tls = here.clone();
    by_tls.transport = Some("tls");
    for other in [&by_proxy, &by_tls] {
        yes(callout.ask("a", other, SystemTime::now()).await);
    }
    assert_eq!(asked.all.load(Ordering::SeqCst), 5);
    let callout = Callout::new(callout.section.clone(), Some(&callout));
    yes(callout.ask("a", &here, SystemTime::now()).await);
    assert_eq!(asked.all.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_asked_each_time() {
    let over = r#"{"name":"alice","cache":60,"expires":"2001-01-01T00:00:00Z"}"#;
    for body in [ALICE, over] {
        let (callout, asked, _tasks) = callout(http("200 OK", body), false).await;
        for _ in 0..2 {
            yes(callout.ask("a", &somebody(), SystemTime::now()).await);
        }
        assert_eq!(asked.all.load(Ordering::SeqCst), 2, "{body}");
    }
    let (callout, asked, _tasks) = callout(http("403 No", r#"{"text":"locked"}"#), false).await;
    for _ in 0..2 {
        assert_eq!(
            callout.ask("a", &somebody(), SystemTime::now()).await,
            Ok(CalloutAnswer::No(Some("locked".into())))
        );
    }
    assert_eq!(asked.all.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn whatever_is_neither_a_yes_nor_a_no_is_no_answer() {
    for text in [
        http("500 Oh", ALICE),
        http("204 No Content", ""),
        http("302 Found\r\nlocation: http://127.0.0.1:1/", ALICE),
        http("200 OK", "garbage"),
        http("200 OK", &format!("{ALICE}{}", " ".repeat(65 << 10))),
        format!("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{ALICE}"),
        String::new(),
    ] {
        let (callout, _asked, _tasks) = callout(text.clone(), false).await;
        let answer = callout.ask("a", &somebody(), SystemTime::now()).await;
        assert!(matches!(answer, Err(NoAnswer::Failed(_))), "{answer:?}: {text:.60}");
    }
}

#[tokio::test]
async fn what_is_not_answered_in_time_is_no_answer() {
    let (callout, _asked, _tasks) = callout(http("200 OK", ALICE), true).await;
    let start = Instant::now();
    let answer = callout.ask("a", &somebody(), SystemTime::now()).await;
    assert!(matches!(&answer, Err(NoAnswer::Failed(why)) if why.contains("2s")), "{answer:?}");
    assert!((Duration::from_secs(2)..Duration::from_secs(6)).contains(&start.elapsed()));
}

#[tokio::test]
async fn equal_questions_are_one_also_if_the_first_that_asked_goes_away() {
    let (callout, asked, _tasks) = callout(http("200 OK", ALICE), true).await;
    let mut asking = JoinSet::new();
    let mut ask = || {
        let callout = Arc::clone(&callout);
        asking.spawn(async move { callout.ask("a", &somebody(), SystemTime::now()).await })
    };
    let first = ask();
    until("the first asks", || asked.all.load(Ordering::SeqCst) == 1).await;
    for _ in 0..100 {
        ask();
    }
    tokio::task::yield_now().await;
    assert_eq!(asked.all.load(Ordering::SeqCst), 1);
    first.abort();
    until("another one asks", || asked.all.load(Ordering::SeqCst) == 2).await;
    asked.go.notify_waiters();
    let mut answers = 0;
    while let Some(answer) = asking.join_next().await {
        if let Ok(answer) = answer {
            assert_eq!(yes(answer).as_str(), "alice");
            answers += 1;
        }
    }
    assert_eq!((answers, asked.all.load(Ordering::SeqCst)), (100, 2));
    assert!(callout.underway.lock().is_empty());
}

#[tokio::test]
async fn some_are_asked_at_once_more_wait_and_the_others_are_told_at_once() {
    let (callout, asked, _tasks) = callout(http("200 OK", ALICE), true).await;
    let mut asking = JoinSet::new();
    for number in 0..AT_ONCE + WAITING {
        let callout = Arc::clone(&callout);
        asking.spawn(async move { callout.ask(&number.to_string(), &somebody(), SystemTime::now()).await });
    }
    until("as many as may be are asked", || asked.now.load(Ordering::SeqCst) == AT_ONCE).await;
    assert_eq!(callout.ask("beyond", &somebody(), SystemTime::now()).await, Err(NoAnswer::Full));
    assert_eq!(asked.all.load(Ordering::SeqCst), AT_ONCE);
    // Whoever goes away makes place, and is asked no more.
    asking.abort_all();
    while asking.join_next().await.is_some() {}
    assert!(callout.underway.lock().is_empty());
    assert_eq!(callout.admitted.available_permits(), AT_ONCE + WAITING);
    assert_eq!(asked.most.load(Ordering::SeqCst), AT_ONCE);
}
