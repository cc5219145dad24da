//! What the program prints of itself: completions for shells, and manual pages.

use crate::args::Args;
use crate::services::{NamedService, SERVICES};
use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory as _, ValueHint};
use clap_mangen::Man;
use std::fmt::Write as _;
use std::io;
use std::sync::LazyLock;
use switchboard::Rights;
use switchboard_load::{PROTOCOLS, SCENARIOS};

/// A completion script.
pub(crate) fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut with_words(Args::command()), "switchboard", &mut script);
    script
}

/// With the words that values are chosen from. The program itself checks them later, to tell all faults at once.
fn with_words(command: Command) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(command.mut_args(offer), |command, name| command.mut_subcommand(name, with_words))
}

/// What the log shows, in its simplest words.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Every service at every scheme that has it: `rooms=tcp://`.
static LISTENERS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let of = |service: &'static NamedService| {
        service.schemes().map(move |scheme| format!("{}={}://", service.name, scheme.name()))
    };
    SERVICES.iter().flat_map(of).collect()
});

fn offer(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "scenario" => arg.value_parser(SCENARIOS),
        "protocol" => arg.value_parser(PROTOCOLS),
        "log_format" => arg.value_parser(["text", "json"]),
        "listen" => arg.value_parser(PossibleValuesParser::new(LISTENERS.iter().map(String::as_str))),
        "action" => arg.value_parser(Rights::WORDS.map(|(word, _)| word)),
        "filter" => arg.value_parser(LEVELS),
        "access_log" => arg.value_parser(["off", "on", "full"]),
        "audit" | "access_log_file" => arg.value_hint(ValueHint::FilePath),
        "state_directory" => arg.value_hint(ValueHint::DirPath),
        // What is no file is not completed to one.
        _ if arg.get_action().takes_values()
            && arg.get_value_hint() == ValueHint::Unknown
            && arg.get_possible_values().is_empty() =>
        {
            arg.value_hint(ValueHint::Other)
        }
        _ => arg,
    }
}

/// What there are manual pages of, beside the one of all: each that another one names.
pub(crate) const PAGES: [&str; 53] = [
    "serve",
    "connect",
    "bench",
    "admin",
    "admin-status",
    "admin-health",
    "admin-connections",
    "admin-closed",
    "admin-rooms",
    "admin-who",
    "admin-events",
    "admin-config",
    "admin-can",
    "admin-announce",
    "admin-motd",
    "admin-remove",
    "admin-bans",
    "admin-upstreams",
    "admin-revocations",
    "admin-revoke",
    "admin-unrevoke",
    "admin-room",
    "admin-purge",
    "admin-ban",
    "admin-unban",
    "admin-close",
    "admin-log",
    "admin-check",
    "admin-reload",
    "admin-ready",
    "admin-drain",
    "top",
    "cluster",
    "cluster-new-epochs",
    "cluster-status",
    "config",
    "config-can",
    "config-check",
    "config-example",
    "config-print",
    "config-schema",
    "data",
    "data-check",
    "data-export",
    "data-import",
    "data-new-epochs",
    "token",
    "token-new",
    "token-hash",
    "token-check",
    "token-sign",
    "completions",
    "man",
];

/// A manual page: of one command, or of all.
pub(crate) fn manual(name: Option<&str>) -> io::Result<Vec<u8>> {
    // Of `help` there is no page.
    let mut all = Args::command().disable_help_subcommand(true);
    for name in ["admin", "cluster", "config", "data", "token"] {
        all = all.mut_subcommand(name, |command| command.disable_help_subcommand(true));
    }
    all.build();
    let command = command(&all, name.unwrap_or_default()).clone();
    let details = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let (has_commands, has_version) = (command.has_subcommands(), command.get_version().is_some());
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(laid_out(&details).as_bytes());
    if has_version {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// The command within another one whose page is called so: `data-new-epochs` is `new-epochs` of `data`.
fn command<'a>(of: &'a Command, page: &str) -> &'a Command {
    of.get_subcommands()
        .find_map(|one| match page.strip_prefix(one.get_name())? {
            "" => Some(one),
            rest => Some(command(one, rest.strip_prefix('-')?)),
        })
        .unwrap_or(of)
}

/// Text for roff (`groff_man`, 7): lists stay as they are laid out, and paragraphs are filled.
fn laid_out(text: &str) -> String {
    let mut page = String::new();
    if !text.is_empty() {
        page.push_str(".SH DETAILS\n");
    }
    for block in text.split("\n\n") {
        let is_list = block.lines().any(|line| line.starts_with(' '));
        page.push_str(if is_list { ".PP\n.nf\n" } else { ".PP\n" });
        for line in block.lines() {
            let line = line.replace('\\', "\\e").replace('-', "\\-");
            let control = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
            // Writing to memory does not fail.
            let _ = writeln!(page, "{control}{line}");
        }
        page.push_str(if is_list { ".fi\n" } else { "" });
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap_complete::Shell;

    #[test]
    fn words_are_offered_where_words_are_meant_and_files_where_files_are() {
        let script = String::from_utf8(completions(Shell::Bash)).unwrap();
        let words = [
            "echo rooms idle udp",
            "lines nats resp mqtt ws",
            "text json",
            "echo=tcp:// echo=tls:// ",
            "rooms=udp:// ",
            "admin=https:// admin=unix://",
            "join publish history presence create moderate",
            "off error warn info debug trace",
        ];
        for words in words {
            assert!(script.contains(words), "{words}");
        }
        let option =
            |name: &str| script.split(&format!("{name})\n")).nth(1).unwrap().lines().next().unwrap().to_owned();
        assert!(!option("--connections").contains("compgen -f"), "{}", option("--connections"));
        assert!(script.split("--ca)\n").nth(1).unwrap().lines().take(12).any(|line| line.contains("compgen -f")));
    }

    #[test]
    fn each_page_that_one_names_is_printed() {
        let pages = PAGES.iter().map(|name| Some(*name)).chain([None]);
        for name in pages {
            let page = String::from_utf8(manual(name).unwrap()).unwrap();
            let title = name.map_or("switchboard".to_owned(), |name| format!("switchboard-{name}"));
            assert!(page.contains(&format!(".TH {title} 1")), "{page}");
            for line in page.lines().filter(|line| line.starts_with("switchboard\\-") && line.ends_with("(1)")) {
                let named = line["switchboard\\-".len()..line.len() - 3].replace('\\', "");
                assert!(PAGES.contains(&named.as_str()), "{title} names {named}");
            }
        }
    }

    #[test]
    fn a_list_stays_one_in_the_manual() {
        assert_eq!(
            laid_out("A is one of\n  x    y\n\n.a paragraph\\ --b"),
            ".SH DETAILS\n.PP\n.nf\nA is one of\n  x    y\n.fi\n.PP\n\\&.a paragraph\\e \\-\\-b\n"
        );
        let page = String::from_utf8(manual(Some("serve")).unwrap()).unwrap();
        assert!(page.starts_with(".ie") || page.contains(".TH switchboard-serve 1"), "{page}");
        assert!(page.contains("\n  echo             answers each line"));
    }
}
