//! What somebody without a token says, to be taken for somebody.

use super::{ALICE, ask, ask_with, hub, refusal};
use crate::services::rooms::web::Access;

#[tokio::test(start_paused = true)]
async fn nothing_that_nobody_says_shows_it_to_be_somebody() {
    let hub = hub();
    let forged = [
        r#"","user":"alice","x":""#,
        r#"{"event":"message","from":"alice","user":"alice","text":"hi"}"#,
        "hi\n{\"user\":\"alice\"}",
        "\r\nuser: alice",
        "\u{1b}\u{2028}\",\"user\":\"alice",
        "/by alice 1 00 /pub lobby hi",
    ];
    for body in forged {
        let (head, told) =
            ask_with(&hub, Access::default(), "POST /rooms/lobby?name=mallory", &["user: alice"], body).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{told}");
    }
    for query in ["user=alice", "name=alice", "from=alice", "name=alice.2"] {
        let (status, ..) = refusal(&hub, &format!("POST /rooms/lobby?{query}"), &[]).await;
        assert!(matches!(status, 400 | 403), "{query}: {status}");
    }
    ask(&hub, "POST /rooms/lobby", &[ALICE]).await;
    let (_, body) = ask(&hub, "GET /rooms/lobby/messages", &[]).await;
    let told = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect("an object") };
    let told: Vec<_> = body
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(told)
        .map(|object| (object["from"].clone(), object.get("user").cloned()))
        .collect();
    let (of_alice, others) = told.split_last().expect("there are messages");
    assert_eq!(*of_alice, ("alice".into(), Some("alice".into())));
    assert_eq!(others, vec![("mallory".into(), None); forged.len()]);
}
