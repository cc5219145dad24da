//! What is typed: faults, exit codes, help.

use crate::process::{Place, Program, command, run};
use std::fs::File;
use std::net::{TcpListener, UdpSocket};

#[test]
fn all_faults_come_at_once_and_nothing_is_bound() {
    let socket = Place::new("unbound.sock");
    let sound = socket.echo();
    let end = run(&[
        "serve",
        &sound,
        "echo=tcp://127.0.0.1",
        "echo=tcp://256.0.0.1:80",
        "chat=tcp://127.0.0.1:0",
        "echo=sctp://127.0.0.1:0",
        "echo=udp://127.0.0.1:7000?colour=red",
        "echo=tcp://127.0.0.1:7000",
        "echo=tcp://127.0.0.1:7000?idle=5m",
        "--workers",
        "none",
        "--grace=-1s",
    ]);
    assert_eq!(end.code, Some(2));
    assert_eq!(end.output, [""; 0]);
    // Which services there are is not this test's business.
    let known = |line: &String| line.split("; known: echo").next().map(str::to_owned).unwrap_or_default();
    let log: Vec<_> =
        end.log.iter().map(|line| if line.contains("service") { known(line) } else { line.clone() }).collect();
    assert_eq!(
        log,
        [
            "error: echo=tcp://127.0.0.1: missing port, as in 127.0.0.1:8080 (0 picks a free one)",
            "error: echo=tcp://256.0.0.1:80: bad host `256.0.0.1`: not an IPv4 address",
            "error: chat=tcp://127.0.0.1:0: unknown service `chat`",
            "error: echo=sctp://127.0.0.1:0: unknown scheme `sctp`; known: tcp, tls, unix, udp, ws, wss",
            "error: echo=udp://127.0.0.1:7000?colour=red: unknown option `colour`; known here: freebind, prefix",
            "error: echo=tcp://127.0.0.1:7000?idle=5m: the same listener as echo=tcp://127.0.0.1:7000",
            "error: --workers: `none` is not a number from 1 to 1024, nor auto",
            "error: --grace: `-1s` is not a duration such as 500ms, 30s, 5m or 1h",
        ]
    );
    assert!(!socket.exists());
}

#[test]
fn one_fault_is_one_line_whatever_was_typed() {
    let end = run(&["serve", "echo=tcp://a\nb\u{1b}[31m:1"]);
    assert_eq!(end.log.len(), 1);
    assert!(!end.log[0].contains('\u{1b}'), "{:?}", end.log);
}

#[test]
fn what_clap_finds_is_a_fault_of_the_command_line() {
    for arguments in [&["serve", "--wrokers", "3"][..], &["sevre"], &[], &["serve", "-q", "-v"]] {
        assert_eq!(run(arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn every_busy_address_is_named_and_nothing_is_accepted() {
    let stream = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let socket = Place::new("busy.sock");
    let tcp = format!("tcp://{}", stream.local_addr().expect("it is bound"));
    let udp = format!("udp://{}", datagrams.local_addr().expect("it is bound"));
    let unix = socket.echo();
    for workers in ["1", "4"] {
        let end = run(&["serve", &format!("echo={tcp}"), &unix, &format!("echo={udp}"), "--workers", workers]);
        assert_eq!(end.code, Some(1));
        assert_eq!(end.output, [""; 0]);
        let busy = |url: &str, kind: &str| {
            let port = url.rsplit_once(':').map_or("", |(_, port)| port);
            let advice = format!("`ss -Hlnp{kind} 'sport = :{port}'` shows what uses it");
            format!("error: cannot listen on {url}: Address already in use (os error 98); {advice}")
        };
        assert_eq!(end.log, [busy(&tcp, "t"), busy(&udp, "u")]);
        assert!(!socket.exists());
    }
}

#[test]
fn what_is_in_the_way_of_a_socket_is_told() {
    let file = Place::new("a-file.sock");
    std::fs::write(&*file, "").expect("it can be written");
    let end = run(&["serve", &file.echo()]);
    assert_eq!(end.code, Some(1));
    assert!(end.log[0].ends_with(": a file is already there, and it is not a socket"), "{:?}", end.log);
    let end = run(&["serve", "echo=unix:///nonexistent/a.sock"]);
    assert!(end.log[0].ends_with("(os error 2); its directory does not exist"), "{:?}", end.log);
}

#[test]
fn a_listeners_line_aligns_and_its_command_reaches_this_machine() {
    let socket = Place::new("aligned.sock");
    let urls = ["echo=tcp://0.0.0.0:0", "echo=udp://127.0.0.1:0", &socket.echo()];
    let program = Program::serve(&urls);
    let port = |index: usize| program.listeners[index].address().port();
    let width = program.listeners.iter().map(|listener| listener.url.len()).max().expect("listeners");
    let expected = [
        (format!("tcp://0.0.0.0:{}", port(0)), format!("nc 127.0.0.1 {}", port(0))),
        (format!("udp://127.0.0.1:{}", port(1)), format!("nc -u 127.0.0.1 {}", port(1))),
    ];
    for (listener, (url, command)) in program.listeners.iter().zip(expected) {
        assert_eq!(listener.line, format!("echo  {url:width$}  try: {command}"));
    }
}

#[test]
fn a_closed_stdout_does_not_matter() {
    let socket = Place::new("closed.sock");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = command(&["serve", "-v", &socket.echo()]);
    command.stdout(writer);
    let mut program = Program::spawn(command);
    program.logged("serving");
    let stream = std::os::unix::net::UnixStream::connect(&*socket).expect("it accepts");
    assert_eq!(crate::process::exchange(stream, b"hi\n"), b"echo: hi\n");
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn help_says_what_can_be_typed() {
    let end = run(&["serve", "--help"]);
    assert_eq!(end.code, Some(0));
    let text = end.output.join("\n");
    for word in ["tcp://HOST:PORT", "unix:///PATH", "udp://", "prefix", "--max-frame", "SWITCHBOARD_", "Exit codes"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
    // The lists below the flags are laid out by hand.
    let lists = end.output.iter().skip_while(|line| !line.starts_with("SERVICE is one of"));
    assert_eq!(lists.filter(|line| line.chars().count() > 80).collect::<Vec<_>>(), Vec::<&String>::new());
    for command in ["connect", "bench"] {
        let end = run(&[command, "--help"]);
        // A line that is laid out by hand has spaces in front; what is wrapped is as wide as it may be.
        let lists = end.output.iter().filter(|line| line.starts_with("  ") && line.contains("://HOST"));
        assert_eq!(lists.filter(|line| line.chars().count() > 80).collect::<Vec<_>>(), Vec::<&String>::new());
        let widest = end.output.iter().map(|line| line.chars().count()).max();
        assert!(widest <= Some(120), "{widest:?}");
    }
    assert!(run(&["--version"]).output[0].starts_with("switchboard "));
}

#[test]
fn what_could_not_be_printed_is_no_success() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["connect", "--help"],
        &["config", "print"],
        &["completions", "bash"],
        &["man", "bench"],
    ] {
        let mut full = command(arguments);
        full.stdout(File::options().write(true).open("/dev/full").unwrap());
        let end = Program::spawn(full).end();
        let error = "error: cannot print: No space left on device (os error 28)";
        assert_eq!((end.code, end.log), (Some(1), vec![error.to_owned()]), "{arguments:?}");
    }
}

#[test]
fn a_server_that_cannot_say_where_it_listens_does_not_start() {
    let mut full = command(&["serve", "echo=tcp://127.0.0.1:0"]);
    full.stdout(File::options().write(true).open("/dev/full").unwrap());
    let end = Program::spawn(full).end();
    let error = "error: cannot print the listeners: No space left on device (os error 28)";
    assert_eq!((end.code, end.log), (Some(1), vec![error.to_owned()]));
}

#[test]
fn completions_and_manual_pages_are_printed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let end = run(&["completions", shell]);
        assert_eq!(end.code, Some(0));
        assert!(end.output.join("\n").contains("max-frame"), "{shell}");
    }
    assert_eq!(run(&["completions", "tcsh"]).code, Some(2));
    for (arguments, title) in [(&["man"][..], ".TH switchboard 1"), (&["man", "serve"], ".TH switchboard-serve 1")] {
        let end = run(arguments);
        assert_eq!(end.code, Some(0));
        assert!(end.output.iter().any(|line| line.starts_with(title)), "{:?}", end.output);
    }
}

#[test]
fn whoever_looks_for_a_flag_of_an_address_is_told_of_urls() {
    let end = run(&["serve", "--port", "8080"]);
    assert_eq!(end.code, Some(2));
    assert!(end.log.iter().any(|line| line.contains("as in 'rooms=tcp://127.0.0.1:8081'")), "{:?}", end.log);
}

/// At boot an address may come up after the server.
#[test]
fn an_address_may_come_up_later_if_that_is_said() {
    let absent = ["echo=tcp://192.0.2.77:0", "echo=udp://192.0.2.77:0", "rooms=http://[2001:db8::77]:0"];
    let end = run(&[&["serve"], &absent[..]].concat());
    assert_eq!((end.code, end.log.len()), (Some(1), 3), "{:?}", end.log);
    let free = absent.map(|url| format!("{url}?freebind=on"));
    let program = Program::serve(&free.each_ref().map(String::as_str));
    assert!(program.listeners[0].url.starts_with("tcp://192.0.2.77:"), "{}", program.listeners[0].url);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn the_version_is_the_crates_and_names_a_commit_or_none() {
    let end = run(&["--version"]);
    let told = end.output[0].strip_prefix(concat!("switchboard ", env!("CARGO_PKG_VERSION"))).expect("the version");
    let commit = told.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
    assert!(told.is_empty() || commit.is_some_and(|commit| !commit.is_empty()), "{end:?}");
}
