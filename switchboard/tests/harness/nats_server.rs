//! A nats-server of one test's own: another program, with a directory for what it keeps.
//!
//! It is `$NATS_SERVER`, or what of that name is on the path, or what `scripts/nats-server` has installed. Where there is none, tests that need it say so and
//! pass: they are another program's as much as ours.

use super::patience::until;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use switchboard::log::{NatsOptions, NatsProfile, NatsServer};

pub(crate) struct Nats {
    program: PathBuf,
    directory: PathBuf,
    port: u16,
    child: Option<Child>,
}

/// Where the program is.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/nats-server/bin/nats-server");
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<_> = std::env::split_paths(&on_path).map(|folder| folder.join("nats-server")).collect();
    named.into_iter().chain(on_path).chain([installed]).find(|path| path.is_file())
}

impl Nats {
    /// Starts one on a port of its choice, with more lines of its configuration. None where it is not installed.
    pub(crate) async fn start(more: &str) -> Option<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let Some(program) = program() else {
            eprintln!("skipped: nats-server is not installed (scripts/nats-server installs it)");
            return None;
        };
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("switchboard-nats-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let store = directory.display();
        let text = format!(
            "jetstream {{ store_dir: \"{store}/js\", max_mem: 2G, max_file: 2G }}\nports_file_dir: \"{store}\"\n{more}\n"
        );
        fs::write(directory.join("conf"), text).unwrap();
        let mut nats = Self { program, directory, port: 0, child: None };
        nats.resume().await;
        Some(nats)
    }

    /// Starts it again on the same port, with what it has kept.
    pub(crate) async fn resume(&mut self) {
        let log = fs::File::create(self.directory.join("log")).unwrap();
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut command = Command::new(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &port, "-c"]).arg(self.directory.join("conf"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let ports = self.directory.join(format!("nats-server_{}.ports", child.id()));
        self.child = Some(child);
        let directory = self.directory.clone();
        until(|| {
            let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
            assert!(!log.contains("[FTL]"), "{log}");
            log.contains("Server is ready") && fs::read_to_string(&ports).is_ok_and(|text| text.ends_with('}'))
        })
        .await;
        let text = fs::read_to_string(&ports).unwrap();
        let digits = text.split("127.0.0.1:").nth(1).unwrap();
        self.port = digits.split(|digit: char| !digit.is_ascii_digit()).next().unwrap().parse().unwrap();
    }

    /// Kills it, as a power switch would but for what the system has not written.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn server(&self) -> NatsServer {
        format!("nats://127.0.0.1:{}", self.port).parse().unwrap()
    }

    pub(crate) fn options(&self, profile: NatsProfile) -> NatsOptions {
        NatsOptions { profile, ..NatsOptions::new([self.server()]) }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        // What is left is in a folder for such things.
        let _ = fs::remove_dir_all(&self.directory);
    }
}
