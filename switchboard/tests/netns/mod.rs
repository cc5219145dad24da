//! A network that a test has for itself.

/// Tells a test that it runs in the network of its own.
const IN_ITS_NETWORK: &str = "SWITCHBOARD_TEST_IN_ITS_NETWORK";

/// Runs the test of that name once more where `set_up` has made the loopback what it is to be, and `test` there. Skipped
/// where nobody may make a network, or where the tools to do it are missing.
pub(crate) fn in_a_network_of_its_own(name: &str, set_up: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(IN_ITS_NETWORK).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(test);
    }
    let again = format!("{set_up} || exit 77; exec \"$0\" --exact {name} --nocapture");
    let mut command = std::process::Command::new("unshare");
    command.args(["-Urnm", "sh", "-c", &again]).arg(std::env::current_exe().unwrap()).env(IN_ITS_NETWORK, "1");
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) if output.status.code() == Some(101) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        skipped => eprintln!("skipped: {skipped:?}"),
    }
}
