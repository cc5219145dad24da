//! Where settings come from, and what is wrong with them.

use crate::process::{End, Place, Program, command, exchange, output, python_with, run};
use std::path::Path;
use std::process::Command;

fn file(test: &str, text: &str) -> Place {
    let place = Place::new(test);
    std::fs::write(&place as &Path, text).expect("the temporary folder takes a file");
    place
}

fn typed(place: &Place) -> &str {
    place.to_str().expect("the path is UTF-8")
}

fn run_with(variable: (&str, &str), arguments: &[&str]) -> End {
    let mut command = command(arguments);
    command.env(variable.0, variable.1);
    Program::spawn(command).end()
}

#[test]
fn listeners_and_settings_come_from_a_file() {
    let file = file("serve.toml", "listen = [\"echo=tcp://127.0.0.1:0?prefix=file%20\"]\nworkers = 1\n");
    let program = Program::of_file(&file, 1);
    assert_eq!(exchange(program.tcp(0), b"hi\n"), b"file hi\n");
}

#[test]
fn listeners_come_from_the_environment() {
    let mut command = command(&["serve"]);
    command.env("SWITCHBOARD_LISTEN", "echo=tcp://127.0.0.1:0 echo=udp://127.0.0.1:0");
    let program = Program::listening(command, 2);
    assert_eq!(exchange(program.tcp(0), b"hi\n"), b"echo: hi\n");
}

#[test]
fn print_shows_each_value_and_where_it_came_from() {
    let file = file("print.toml", "max-frame = \"1KiB\"\nworkers = 3\n");
    let variable = ("SWITCHBOARD_GRACE", "5s");
    let end = run_with(variable, &["config", "print", "--config", typed(&file), "--workers", "2", "-v"]);
    assert_eq!(end.code, Some(0));
    let origin = |name: &str| {
        let line = end.output.iter().find(|line| line.starts_with(&format!("{name} = "))).expect("a line each");
        let (value, origin) = line.split_once("  # ").expect("an origin");
        (value.split_once(" = ").expect("a value").1.trim().to_owned(), origin.to_owned())
    };
    let expect = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(origin("workers"), expect("2", "flag --workers"));
    assert_eq!(origin("grace"), expect("\"5s\"", "environment SWITCHBOARD_GRACE"));
    assert_eq!(origin("max-frame"), expect("\"1KiB\"", &format!("file {}", typed(&file))));
    assert_eq!(origin("max-outbox"), expect("\"1MiB\"", "default"));
    assert_eq!(origin("log"), expect("\"debug\"", "flag -v"));
    let (listen, from) = origin("listen");
    assert!(listen.starts_with("[\"echo=tcp://127.0.0.1:8080\", \"echo=udp://127.0.0.1:8080\""), "{listen}");
    assert_eq!(from, "default");
}

#[test]
fn check_says_so_when_nothing_is_wrong() {
    let end = run(&["config", "check", "echo=tcp://127.0.0.1:0"]);
    assert_eq!((end.code, end.output, end.log.len()), (Some(0), vec!["ok".to_owned()], 0));
}

#[test]
fn check_warns_of_rooms_that_other_machines_can_reach_as_long_as_no_file_says_who_may_do_what() {
    let listeners = ["rooms=tcp://0.0.0.0:8081?rate=off", "rooms=tcp://127.0.0.1:8082", "echo=tcp://0.0.0.0:8080"];
    let end = run(&[&["config", "check"], &listeners[..]].concat());
    let expected = "warning: rooms=tcp://0.0.0.0:8081: anyone who can reach it may do everything; to change that, add tokens to \
                    the file (switchboard token new NAME)";
    assert_eq!((end.code, end.log), (Some(0), vec![expected.to_owned()]));
    let file = file("rights.toml", "[rooms.lobby]\nanyone = [\"read\"]\n");
    let end = run(&[&["config", "check", "--config", typed(&file)], &listeners[..]].concat());
    assert_eq!((end.code, end.log.len()), (Some(0), 0), "{:?}", end.log);
}

#[test]
fn a_bad_file_exits_78_with_all_faults() {
    let file = file("bad.toml", "wrokers = 3\ngrace = \"soon\"\n");
    for arguments in
        [["serve", "--config", typed(&file)].to_vec(), ["config", "check", "--config", typed(&file)].to_vec()]
    {
        let end = run(&arguments);
        assert_eq!(end.code, Some(78));
        assert_eq!(end.log.len(), 2);
        assert!(end.log.iter().any(|line| line.contains("unknown key `wrokers`")), "{:?}", end.log);
        assert!(end.log.iter().any(|line| line.contains("grace = `soon` is not a duration")), "{:?}", end.log);
    }
}

#[test]
fn a_file_that_cannot_be_read_exits_78() {
    for path in ["/nonexistent.toml", "/", "/dev/zero"] {
        assert_eq!(run(&["serve", "--config", path]).code, Some(78), "{path}");
    }
}

#[test]
fn a_bad_variable_exits_78() {
    let end = run_with(("SWITCHBOARD_MAX_FRAME", "64K"), &["serve", "echo=tcp://127.0.0.1:0"]);
    assert_eq!(end.code, Some(78));
    let expected = "error: environment SWITCHBOARD_MAX_FRAME: `64K` is not a size such as 512, 64KiB, 1MiB or 2GiB";
    assert_eq!(end.log, [format!("{expected}; did you mean 64KiB?")]);
}

#[test]
fn a_limit_beyond_the_machine_exits_78() {
    let end = run(&["serve", "echo=tcp://127.0.0.1:0", "--max-connections", "1000000000000"]);
    assert_eq!(end.code, Some(78));
    assert!(end.log.len() == 1 && end.log[0].contains("descriptor limit"), "{:?}", end.log);
}

#[test]
fn more_connections_than_allowed_are_refused() {
    for limit in ["--max-connections", "--max-connections-per-address"] {
        let mut program = Program::serve(&["echo=tcp://127.0.0.1:0", limit, "1"]);
        let mut first = program.tcp(0);
        crate::process::ask(&mut first, b"in\n", b"echo: in\n");
        drop(program.tcp(0));
        program.logged("connection refused");
    }
}

/// By another program's reading of the schema.
#[test]
fn the_schema_takes_the_example_and_refuses_what_is_changed_in_it() {
    let Some(python) = python_with("jsonschema") else { return };
    let (schema, example) = (run(&["config", "schema"]), run(&["config", "example"]));
    let schema = file("schema.json", &schema.output.join("\n"));
    let example = file("example.toml", &example.output.join("\n"));
    let checked = run(&["config", "check", "--config", typed(&example)]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/schema.py");
    let held = output(Command::new(python).args([script, typed(&schema), typed(&example)]));
    let told = String::from_utf8_lossy(&[held.stdout, held.stderr].concat()).into_owned();
    let refused: usize = told.trim().parse().unwrap_or(0);
    assert!(held.status.success() && refused >= 50, "{:?} {told}", held.status);
}
