//! `switchboard token …`: what comes on stdin and leaves on stdout and stderr.

use crate::process::{Program, command, run};

/// A token, and the line of a file that holds its hash.
pub(crate) fn made(name: &str) -> (String, String) {
    let end = run(&["token", "new", name]);
    let hash = end.log.iter().find(|line| line.starts_with("hash = ")).expect("a hash");
    (end.output.concat(), hash.clone())
}

#[test]
fn a_token_is_printed_once_and_its_hash_is_for_the_file() {
    let made = run(&["token", "new", "alice.phone", "--expires", "90d"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let [token] = &made.output[..] else { panic!("{made:?}") };
    let lines = made.log.join("\n");
    assert!(lines.starts_with(&format!("[tokens.\"alice.phone\"]  # {}_…\n", &token[..11])), "{lines}");
    assert!(lines.contains("\nexpires = 20"), "{lines}");
    assert!(!lines.contains(&token[12..]), "the secret is told once");

    let hashed = hash(&format!("{token}\n"));
    assert_eq!(hashed.code, Some(0), "{hashed:?}");
    assert!(lines.contains(&format!("hash = \"{}\"", hashed.output[0])), "{lines} {hashed:?}");
}

#[test]
fn what_is_no_token_is_not_hashed_and_not_repeated() {
    for (typed, fault) in [
        ("sb_12345678_mysecret_000000", "error: mistyped or cut off: its last six characters do not match the rest"),
        ("mysecret", "error: not a token as `switchboard token new` makes them (sb_ID_SECRET_CHECK)"),
        (&"mysecret".repeat(2000), "error: not a token: one word of at most 8 KiB"),
    ] {
        let refused = hash(typed);
        assert_eq!((refused.code, refused.log), (Some(1), vec![fault.to_owned()]));
        assert_eq!(refused.output, [] as [&str; 0]);
    }
    let reserved = run(&["token", "new", "guest-7"]);
    assert_eq!(reserved.code, Some(2), "{reserved:?}");
    assert!(reserved.log[0].contains("this name is reserved"), "{reserved:?}");
}

/// Types it into `token hash`.
fn hash(typed: &str) -> crate::process::End {
    let mut command = command(&["token", "hash"]);
    command.stdin(std::process::Stdio::piped());
    let mut program = Program::spawn(command);
    program.types(typed);
    program.finish();
    program.end()
}
