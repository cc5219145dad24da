//! Tests that change or measure their whole process, or need a network of their own: each runs itself once more, alone.

use super::patience::patiently;
use std::any::type_name;
use std::env;
use std::process::Command;

/// Tells a test that it runs alone.
const ALONE: &str = "SWITCHBOARD_TEST_ALONE";

/// What is given back to the allocator goes back to the system at once, as in the unit of docs/operations.md.
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072");

/// The exit code of a test that cannot run on this machine, as automake has it.
const SKIPPED: i32 = 77;

/// Runs `test`, which is the caller, once more in a process of its own, and `body` there.
pub(crate) fn in_a_process_of_its_own<T: Fn()>(test: T, body: impl Future<Output = ()>) {
    run_alone(test, "true", body, |script| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Some(command)
    });
}

/// As [`in_a_process_of_its_own`], in a network too, where `set_up` has made the loopback what it is to be. Skipped where nobody
/// may make a network, or where the tools to do it are missing.
pub(crate) fn in_a_network_of_its_own<T: Fn()>(test: T, set_up: &str, body: impl Future<Output = ()>) {
    run_alone(test, set_up, body, |script| {
        let unshare = |arguments: &[&str]| {
            let mut command = Command::new("unshare");
            command.arg("-Urnm").args(arguments);
            command
        };
        let is_possible = unshare(&["true"]).output().is_ok_and(|output| output.status.success());
        is_possible.then(|| unshare(&["sh", "-c", script]))
    });
}

fn run_alone<T: Fn()>(_: T, set_up: &str, body: impl Future<Output = ()>, start: impl Fn(&str) -> Option<Command>) {
    if env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(patiently(body));
    }
    let Some((_, name)) = type_name::<T>().split_once("::") else { unreachable!("a function has a path") };
    let script = format!("{set_up} || exit {SKIPPED}; exec \"$0\" --exact {name} --nocapture");
    let Some(mut command) = start(&script) else {
        return eprintln!("skipped: nobody may make a network here");
    };
    let (tunables, keeps_little) = TUNABLES;
    command.arg(env::current_exe().unwrap()).env(ALONE, "1").env(tunables, keeps_little);
    let output = command.output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(SKIPPED) {
        return eprintln!("skipped: {errors}");
    }
    // No test of that name would be a success too.
    assert!(output.status.success() && told.contains(" 1 passed;"), "{}\n{told}\n{errors}", output.status);
}

/// The resident memory of this process, in bytes.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
