//! Where, when and by which command a run was made, so that it can be repeated.

use serde::Serialize;
use std::ffi::OsStr;
use std::fs;
use std::time::SystemTime;
use switchboard::Escaped;

#[derive(Debug, Serialize)]
pub(super) struct Circumstances {
    program: String,
    /// When the load ended.
    at: String,
    /// Quoted for a shell.
    command: String,
    host: Host,
}

#[derive(Debug, Serialize)]
struct Host {
    name: String,
    cores: usize,
    /// `None` if the kernel does not say.
    cpu: Option<String>,
    kernel: String,
}

impl Circumstances {
    pub(super) fn now() -> Self {
        let typed = std::env::args_os().skip(1).map(|word| quoted(&word));
        let words: Vec<_> = std::iter::once("switchboard".to_owned()).chain(typed).collect();
        Self {
            program: format!("switchboard {}", crate::VERSION),
            at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            command: words.join(" "),
            host: Host {
                name: kernel("hostname"),
                cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
                cpu: cpu(),
                kernel: format!("Linux {}", kernel("osrelease")),
            },
        }
    }

    /// What a summary says about it.
    pub(super) fn rows(&self) -> [(&'static str, String); 3] {
        let Host { name, cores, cpu, kernel } = &self.host;
        let cpu = cpu.as_ref().map(|cpu| format!(" of {cpu}")).unwrap_or_default();
        let host = format!("{name}, {cores} cores{cpu}, {kernel}");
        [("command", self.command.clone()), ("made", format!("{} by {}", self.at, self.program)), ("host", host)]
    }
}

/// A word, quoted for a shell if it has to be.
fn quoted(word: &OsStr) -> String {
    let word = Escaped(word.as_encoded_bytes()).to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@%:,=[]".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn kernel(what: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/kernel/{what}")).unwrap_or_default();
    Escaped(text.trim().as_bytes()).to_string()
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "))?.1;
    Some(Escaped(name.trim().as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_what_a_shell_takes() {
        for (word, shown) in [
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
            ("ws://h:1/rooms/{room}/ws?format=raw", "'ws://h:1/rooms/{room}/ws?format=raw'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("\u{1b}", r"'\u{1b}'"),
        ] {
            assert_eq!(quoted(OsStr::new(word)), shown);
        }
    }

    #[test]
    fn a_run_says_where_it_was_made() {
        let Circumstances { program, at, host, .. } = Circumstances::now();
        assert!(program.starts_with("switchboard ") && at.ends_with('Z') && !host.name.is_empty(), "{at} {host:?}");
    }
}
