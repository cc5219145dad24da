//! The house rules that a machine can check: who may import whom, sizes, names, and what no file may hold.
//!
//! Sources are read as text: import paths are found, not compiled, so that the rules fit on a page. The first tests
//! hold the repository to the rules; the ones behind them plant a violation of each rule and see it found.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Modules of the library, lowest first. Each may import those in earlier rows, and none beside or after it.
const LAYERS: [&[&str]; 11] = [
    &["sync"],
    &["config", "error", "files", "metrics", "turn"],
    &["link"],
    &["node"],
    &["hub"],
    &["connection"],
    &["transport"],
    &["cluster"],
    &["http", "log"],
    &["client", "server"],
    &["lib", "testing", "interleavings"],
];

/// What the sans-IO crate may not touch: clocks, sockets, threads, files, an event loop.
const IO: [&str; 10] = [
    "tokio",
    "mio",
    "socket2",
    "std::time::Instant",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::os",
    "std::thread",
    "std::fs",
];

/// How a clock is read; a time that was read elsewhere is a value like any other.
const CLOCKS: [&str; 3] = ["SystemTime::now", "Instant::now", ".elapsed()"];

/// What is above these layers, and no word of them: they know no rooms, and what those do with a full outbox or tell of themselves.
const ROOMLESS: [&str; 2] = ["link", "node"];
const OF_ROOMS: [&str; 4] = ["room", "overflow", "notice", "hub"];

/// Types that have the name of another one that is seen beside them, and why that is no second thing.
const NAMESAKES: [(&str, &str); 2] = [
    ("Listener", "each stream transport's own: `tcp::Listener`, `unix::Listener`"),
    ("Arguments", "each command's own: `connect::Arguments`, `load::Arguments`"),
];

/// Lines of code in a file, without tests, comments and blank lines.
const FILE_LINES: usize = 400;

/// Lines from a function's first to its closing brace.
const FUNCTION_LINES: usize = 70;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "common", "manager", "misc", "stuff"];

/// How bytes become text, which a peer may have chosen. Whatever is shown of a peer goes through `Escaped`.
const AS_TEXT: [&str; 4] = [".display()", "_lossy(", "eprint", "tracing_subscriber::fmt::layer"];

/// Where that is done all the same: with what the operator typed, with frames that a program gets, or because what comes of it
/// is escaped there.
const MAKES_TEXT: [&str; 18] = [
    "cli/src/config.rs",
    "cli/src/config/printed.rs",
    "cli/src/config/history.rs",
    "cli/src/config/layers.rs",
    "cli/src/connect/standing.rs",
    "cli/src/endpoint.rs",
    "cli/src/logging.rs",
    "cli/src/serve.rs",
    "load/src/lib.rs",
    "load/src/options.rs",
    "load/src/protocol/websocket.rs",
    "load/src/typed/secret.rs",
    "load/src/typed/url.rs",
    "proto/src/lines.rs",
    "switchboard/src/client.rs",
    "switchboard/src/testing.rs",
    "switchboard/src/transport/tls/certificates.rs",
    "switchboard/src/transport/unix.rs",
];

/// Hosts of package registries, in two halves, since this file is held to the rule too.
const REGISTRIES: [(&str, &str); 7] = [
    ("crates", ".io"),
    ("docs", ".rs"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("deb.debian", ".org"),
];

/// Folders at the root of a machine in which people keep their checkouts.
const CHECKOUTS: [&str; 5] = ["home", "root", "Users", "work", "workspace"];

struct Source {
    /// Relative to the repository: `switchboard/src/link/outbox.rs`.
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|own| own == extension)
    }

    /// The text without its tests. Those in files of their own may be named anywhere, and it goes on after that.
    fn shipped(&self) -> &str {
        const TESTS: &str = "#[cfg(test)]\nmod ";
        if self.path.ends_with("/tests.rs") {
            return "";
        }
        let is_here = |at: &usize| self.text[at + TESTS.len()..].lines().next().is_some_and(|line| line.ends_with('{'));
        let tests = self.text.match_indices(TESTS).map(|(at, _)| at).find(is_here).unwrap_or(self.text.len());
        &self.text[..tests]
    }

    /// The text without its tests and without lines that are only a comment.
    fn code(&self) -> String {
        let lines = self.shipped().lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Where a file of the library is among its modules: `["hub", "outbox"]`.
    fn module(&self) -> Option<Vec<&str>> {
        Some(self.path.strip_prefix("switchboard/src/")?.strip_suffix(".rs")?.split('/').collect())
    }
}

/// Every text file of the repository.
fn repository() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    collect(&root, "", &mut found);
    assert!(found.iter().any(|source| source.path == "switchboard/src/lib.rs"), "the sources were not found");
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    const SKIPPED: [&str; 5] = ["target", "corpus", "artifacts", ".git", "Cargo.lock"];
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.map_while(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), &format!("{path}/"), found);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            found.push(Source { path, text });
        }
    }
}

fn assert_none(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

// The rules. Each takes sources and gives a line for each violation.

/// Imports within the library that go up or sideways in [`LAYERS`].
fn wrong_directions(sources: &[Source]) -> Vec<String> {
    let root = sources.iter().find(|source| source.path == "switchboard/src/lib.rs");
    let exported = root.map(exports).unwrap_or_default();
    let mut wrong = Vec::new();
    for source in sources {
        let Some(module) = source.module() else { continue };
        let code = source.code();
        let Some(from) = layer(module[0]) else {
            wrong.push(format!("{}: module `{}` has no layer; give it one in tidy.rs", source.path, module[0]));
            continue;
        };
        for path in paths(&code, "crate").into_iter().chain(paths(&code, "super")) {
            let Some(target) = target(&module, &path, &exported) else { continue };
            let allowed = target == module[0] || layer(&target).is_some_and(|to| to < from);
            if !allowed {
                wrong.push(format!("{}: `{}` may not import `{target}` (by `{path}`)", source.path, module[0]));
            }
        }
    }
    wrong
}

/// Words of rooms in the layers below them.
fn rooms_below(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.module().is_some_and(|module| ROOMLESS.contains(&module[0]))) {
        for (number, line) in source.shipped().lines().enumerate() {
            let line = line.to_lowercase();
            let named = OF_ROOMS.iter().find(|word| line.contains(**word));
            wrong.extend(named.map(|word| format!("{}:{}: names a `{word}`", source.path, number + 1)));
        }
    }
    wrong
}

/// Types beyond a file's own that are called alike, among those that a reader of one crate meets. The load generator measures other
/// servers too, and has words of its own for it: of those only what the program uses counts.
fn namesakes(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.path.contains("/src/") && source.is_rust()) {
        let Some((crate_name, _)) = source.path.split_once('/') else { continue };
        found
            .extend(visible_types(source).map(|(name, is_public)| (crate_name, name, is_public, source.path.as_str())));
    }
    let readers: [(&str, &[&str], &[&str]); 3] = [
        ("the library", &["proto", "switchboard"], &[]),
        ("the load generator", &["load"], &[]),
        ("the program", &["cli"], &["proto", "switchboard", "load"]),
    ];
    let mut wrong = Vec::new();
    for (reader, own, used) in readers {
        let mut met: HashMap<&str, Vec<&str>> = HashMap::new();
        for (crate_name, name, is_public, path) in &found {
            if own.contains(crate_name) || (used.contains(crate_name) && *is_public) {
                met.entry(name).or_default().push(path);
            }
        }
        for (name, places) in met {
            if places.len() > 1 && !NAMESAKES.iter().any(|(known, _)| *known == name) {
                wrong.push(format!("{reader} has `{name}` in {}: one word for one thing", places.join(" and ")));
            }
        }
    }
    wrong.sort();
    wrong.dedup_by(|a, b| a.split_once(" has ").map(|(_, rest)| rest) == b.split_once(" has ").map(|(_, rest)| rest));
    wrong
}

/// What a crate imports although its place forbids it.
fn forbidden_imports(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let forbidden: &[&str] = match source.path.split_once('/') {
            Some(("proto", rest)) if rest.starts_with("src/") => &IO,
            Some(("proto", _)) => &["switchboard", "switchboard_load", "switchboard_program"],
            Some(("switchboard", rest)) if rest.starts_with("src/") => &["switchboard_load", "switchboard_program"],
            Some(("load", _)) => &["switchboard_proto", "switchboard_program"],
            // Every service over HTTP shares it, so it knows none.
            Some(("cli", rest)) if rest.starts_with("src/web") => &["switchboard_proto", "crate::services"],
            Some(("cli", _)) => &["switchboard_proto"],
            Some(("switchboard", rest)) if rest.starts_with("examples/") => &["switchboard_proto", "switchboard_load"],
            _ => continue,
        };
        let code = source.code();
        if forbidden == IO {
            let read = CLOCKS.iter().filter(|clock| code.contains(**clock));
            wrong.extend(read.map(|clock| format!("{}: may not read a clock (`{clock}`)", source.path)));
        }
        for name in forbidden {
            let root = name.split("::").next().unwrap_or(name);
            for path in paths(&code, root) {
                let whole = path.trim_end_matches("::*").trim_end_matches("::self");
                // The other way round: a module that holds it is imported as a whole.
                if within(whole, name) || within(name, whole) {
                    wrong.push(format!("{}: may not import `{path}`", source.path));
                }
            }
        }
    }
    wrong
}

/// Dependencies between the crates that their manifests may not declare.
fn forbidden_dependencies(sources: &[Source]) -> Vec<String> {
    let above_proto = ["switchboard", "switchboard-load", "switchboard-program", "tokio", "mio", "socket2", "nix"];
    let rules: [(&str, &[&str]); 5] = [
        ("proto/Cargo.toml", &above_proto),
        ("switchboard/Cargo.toml", &["switchboard-load", "switchboard-program", "anyhow"]),
        ("load/Cargo.toml", &["switchboard-proto", "switchboard-program"]),
        ("cli/program/Cargo.toml", &["switchboard-proto"]),
        // All that it needs is below `switchboard-program`, where it is built for size.
        ("cli/Cargo.toml", &["switchboard-proto", "switchboard", "switchboard-load"]),
    ];
    let mut wrong = Vec::new();
    for (path, forbidden) in rules {
        for source in sources.iter().filter(|source| source.path == path) {
            let found = dependencies(&source.text).filter(|name| forbidden.contains(name));
            wrong.extend(found.map(|name| format!("{path}: may not depend on `{name}`")));
        }
    }
    wrong
}

/// Dependencies that nobody has given a reason for.
fn unexplained_dependencies(sources: &[Source]) -> Vec<String> {
    let reasons = sources.iter().find(|source| source.path == "docs/decisions/0001-dependencies.md");
    let reasons = reasons.map_or("", |source| source.text.as_str());
    let crates = ["proto", "switchboard", "load", "cli/program", "cli"].map(|folder| format!("{folder}/Cargo.toml"));
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| crates.contains(&source.path)) {
        for name in dependencies(&source.text).filter(|name| !name.starts_with("switchboard")) {
            if !reasons.contains(&format!("| `{name}` |")) {
                wrong.push(format!("{}: `{name}` has no line in docs/decisions/0001-dependencies.md", source.path));
            }
        }
    }
    wrong
}

fn long_files(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| is_product(source)) {
        let lines = source.code().lines().filter(|line| !line.trim().is_empty()).count();
        if lines > FILE_LINES {
            wrong.push(format!("{}: {lines} lines of code, above {FILE_LINES}", source.path));
        }
    }
    wrong
}

fn long_functions(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| is_product(source)) {
        let lines: Vec<&str> = source.shipped().lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            let length = function_length(&lines[index..]);
            if length > FUNCTION_LINES {
                wrong.push(format!("{}: `{name}` has {length} lines, above {FUNCTION_LINES}", source.path));
            }
        }
    }
    wrong
}

fn empty_names(sources: &[Source]) -> Vec<String> {
    let is_empty = |part: &str| EMPTY_NAMES.contains(&part.split('.').next().unwrap_or(part));
    let rust = sources.iter().filter(|source| source.is_rust());
    rust.filter(|source| source.path.split('/').any(is_empty))
        .map(|source| format!("{}: the name says nothing; its contents belong to their callers", source.path))
        .collect()
}

fn foreign_places(sources: &[Source]) -> Vec<String> {
    let hosts = REGISTRIES.map(|(name, end)| format!("{name}{end}"));
    let checkouts = CHECKOUTS.map(|folder| format!("/{folder}/"));
    let mut wrong = Vec::new();
    for source in sources {
        for (number, line) in source.text.lines().enumerate() {
            let named = hosts.iter().any(|host| has_word(line, host, |c| c.is_alphanumeric() || c == '_'));
            // A path within the repository may have such a folder too: only an absolute one counts.
            let local = checkouts.iter().any(|folder| has_start(line, folder));
            if named || local {
                let what = if named { "names a package registry's host" } else { "holds a path of one machine" };
                wrong.push(format!("{}:{}: {what}", source.path, number + 1));
            }
        }
    }
    wrong
}

/// What the README shows of an example, and the example is not.
fn stale_readme(sources: &[Source]) -> Vec<String> {
    let text = |path: &str| sources.iter().find(|source| source.path == path).map_or("", |source| source.text.as_str());
    // The first line of an example says how to run it, which the README says around it.
    let example = text("switchboard/examples/echo.rs").split_once('\n').map_or("", |(_, code)| code);
    let shown = !example.is_empty() && text("README.md").contains(&format!("```rust\n{example}```\n"));
    if shown { Vec::new() } else { vec!["README.md: does not show switchboard/examples/echo.rs as it is".to_owned()] }
}

/// Files that ARCHITECTURE.md sends its reader to, and that are not there.
fn stale_architecture(sources: &[Source]) -> Vec<String> {
    let page = sources.iter().find(|source| source.path == "ARCHITECTURE.md").map_or("", |source| source.text.as_str());
    let quoted = page.split('`').skip(1).step_by(2);
    let named =
        quoted.filter(|name| ["proto/", "switchboard/", "load/", "cli/"].iter().any(|folder| name.starts_with(folder)));
    let missing = named.filter(|name| !sources.iter().any(|source| source.path.starts_with(*name)));
    missing.map(|name| format!("ARCHITECTURE.md: there is no {name}")).collect()
}

/// Locks that ARCHITECTURE.md has in no row of a table, by their type and field: whoever adds one says what it guards, for how long, and who takes it.
fn unlisted_locks(sources: &[Source]) -> Vec<String> {
    let page = sources.iter().find(|source| source.path == "ARCHITECTURE.md").map_or("", |source| source.text.as_str());
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with('|')).collect();
    let is_listed = |owner: &str, field: &str| {
        let names = |row: &str, word: &str| has_word(row, word, |c| c.is_alphanumeric() || c == '_');
        rows.iter().any(|row| names(row, owner) && (field.is_empty() || names(row, field)))
    };
    let folders = ["switchboard/src/", "load/src/", "cli/src/"];
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| folders.iter().any(|folder| source.path.starts_with(folder))) {
        let mut owner = "";
        for line in source.shipped().lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
            let bare = without_visibility(line);
            let word = |text: &'static str| bare.strip_prefix(text);
            if let Some(rest) = word("struct ").or_else(|| word("enum ")).or_else(|| word("static ")) {
                owner = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            }
            let is_statement =
                ["fn ", "async fn ", "use ", "impl", "type ", "let "].iter().any(|begin| bare.starts_with(begin));
            let is_lock = ["Mutex<", "RwLock<"].iter().any(|lock| bare.contains(lock));
            // A field that has a name, or the contents of a tuple.
            let field = bare.split_once(": ").map_or("", |(name, _)| name);
            let field = if field.contains([' ', '(']) { "" } else { field };
            if is_lock && !is_statement && !is_listed(owner, field) {
                wrong.push(format!("{}: ARCHITECTURE.md does not list the lock `{owner}::{field}`", source.path));
            }
        }
    }
    wrong
}

/// Files beside a program of tests that are in none: nothing runs them, and nothing says so.
fn forgotten_tests(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let Some((folder, file)) = source.path.split_once("/tests/") else { continue };
        let program = format!("{folder}/tests/main.rs");
        let Some(program) = sources.iter().find(|source| source.path == program) else { continue };
        let name = file.trim_end_matches(".rs");
        let is_program = ["main", "tidy"].contains(&name);
        if !file.contains('/') && !is_program && !program.text.contains(&format!("\nmod {name};\n")) {
            wrong.push(format!("{}: is not in {}, so nothing runs it", source.path, program.path));
        }
    }
    wrong
}

/// What clippy refuses everywhere, and not in the program, whose own list stands in place of the repository's.
fn forgotten_lints(sources: &[Source]) -> Vec<String> {
    let text = |path: &str| sources.iter().find(|source| source.path == path).map_or("", |source| source.text.as_str());
    let own = text("cli/clippy.toml");
    let missing = text("clippy.toml").lines().filter(|line| !own.lines().any(|known| known == *line));
    missing.map(|line| format!("cli/clippy.toml: has not, as clippy.toml has, `{}`", line.trim())).collect()
}

/// Work left to do that no issue keeps. Prose may speak of the words.
fn loose_ends(sources: &[Source]) -> Vec<String> {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !source.has_extension("md")) {
        for (number, line) in source.text.lines().enumerate() {
            let marked = words.iter().any(|word| has_word(line, word, |c| c.is_alphanumeric() || c == '_'));
            let has_issue = line.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            if marked && !has_issue {
                wrong.push(format!("{}:{}: work left to do, without an issue's number", source.path, number + 1));
            }
        }
    }
    wrong
}

// Reading text.

/// Code that is shipped or shown, as opposed to tests.
fn is_product(source: &Source) -> bool {
    source.is_rust() && source.path.split('/').any(|part| part == "src" || part == "examples")
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// The top-level module that `path` leads to from `module`; `None` if it stays within.
fn target(module: &[&str], path: &str, exported: &HashMap<String, String>) -> Option<String> {
    let mut parts = path.split("::").peekable();
    let mut ups = 0;
    while parts.next_if_eq(&"super").is_some() {
        ups += 1;
    }
    if ups > 0 && ups < module.len() {
        return None;
    }
    let _ = parts.next_if_eq(&"crate");
    let name = parts.next()?;
    if layer(name).is_some() {
        return Some(name.to_owned());
    }
    // What the root exports is imported from where it is; what is left is defined in the root.
    let origin = exported.get(name).map_or("lib", String::as_str);
    (origin != "proto").then(|| origin.to_owned())
}

/// Names that the crate's root exports, and the module that each is from.
fn exports(root: &Source) -> HashMap<String, String> {
    let code = root.code();
    let mut found = Vec::new();
    for (at, start) in code.match_indices("\npub use ") {
        expand(&code[at + start.len()..], "", &mut found);
    }
    let pair = |path: String| {
        let module = path.split("::").next()?.replace("switchboard_proto", "proto");
        Some((path.rsplit("::").next()?.to_owned(), module))
    };
    found.into_iter().filter_map(pair).collect()
}

/// Every path in `code` that begins with `root`, in imports and elsewhere: `a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths(code: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for (at, _) in code.match_indices(root) {
        let follows = &code[at + root.len()..];
        let imported = code[..at].ends_with("use ") && !follows.starts_with(in_name);
        if !code[..at].ends_with(in_name) && (follows.starts_with("::") || imported) {
            expand(&code[at..], "", &mut found);
        }
    }
    found
}

/// Takes one tree of paths from the front of `text`, and returns what is behind it.
fn expand<'a>(text: &'a str, prefix: &str, found: &mut Vec<String>) -> &'a str {
    let mut text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        text = group;
        loop {
            text = expand(text, prefix, found);
            let Some(next) = text.find([',', '}']) else { return "" };
            let closed = text[next..].starts_with('}');
            text = text[next + 1..].trim_start();
            if closed {
                return text;
            }
            if let Some(behind) = text.strip_prefix('}') {
                return behind;
            }
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    match text[end..].strip_prefix("::") {
        Some(rest) if rest.starts_with(|c: char| c.is_alphabetic() || "_*{".contains(c)) => {
            expand(rest, &format!("{path}::"), found)
        }
        _ => {
            found.push(path);
            &text[end..]
        }
    }
}

/// Ways for a peer's bytes to a log or a terminal, beside the one.
fn unescaped(sources: &[Source]) -> Vec<String> {
    let shipped = sources.iter().filter(|source| source.is_rust() && source.path.contains("/src/"));
    let elsewhere = shipped.filter(|source| {
        let crates = ["cli/", "load/", "proto/", "switchboard/"];
        crates.iter().any(|name| source.path.starts_with(name)) && !MAKES_TEXT.contains(&source.path.as_str())
    });
    let mut wrong = Vec::new();
    for source in elsewhere {
        let code = source.code();
        for way in AS_TEXT.iter().filter(|way| code.contains(**way)) {
            wrong.push(format!("{}: `{way}`: what a peer chose is shown by `Escaped`", source.path));
        }
    }
    wrong
}

/// Whether `path` is `place` or inside it.
fn within(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Names in the `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty() && *name != "#")
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let qualifiers = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern", "\"C\""];
    if !before.split_whitespace().all(|word| qualifiers.contains(&word)) {
        return None;
    }
    after.split(['(', '<']).next()
}

/// Lines of the function that begins at the first of `lines`, laid out as rustfmt does.
fn function_length(lines: &[&str]) -> usize {
    let first = lines[0];
    let indent = &first[..first.len() - first.trim_start().len()];
    let closing = format!("{indent}}}");
    for (index, line) in lines.iter().enumerate() {
        if line.ends_with(';') || (index == 0 && line.ends_with('}')) {
            return index + 1;
        }
        if line.ends_with('{') {
            let end = lines.iter().position(|line| *line == closing);
            return end.map_or(lines.len(), |end| end + 1);
        }
    }
    lines.len()
}

/// Types that are known outside of their file, and whether they are public.
fn visible_types(source: &Source) -> impl Iterator<Item = (&str, bool)> {
    source.shipped().lines().filter(|line| line.starts_with("pub")).filter_map(|line| {
        let (kind, rest) = without_visibility(line).split_once(' ')?;
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        ["struct", "enum", "trait", "type", "union"].contains(&kind).then_some((name, line.starts_with("pub ")))
    })
}

/// A line without the `pub` in front of what it declares.
fn without_visibility(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else { return line };
    let rest = rest.strip_prefix('(').and_then(|within| within.split_once(')')).map_or(rest, |(_, rest)| rest);
    rest.strip_prefix(' ').unwrap_or(line)
}

/// Whether `word` stands in `line` with no `part` of a longer word on either side.
fn has_word(line: &str, word: &str, part: impl Fn(char) -> bool) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let behind = &line[at + word.len()..];
        !line[..at].ends_with(&part) && !behind.starts_with(&part)
    })
}

/// Whether an absolute path in `line` begins with `folder`.
fn has_start(line: &str, folder: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    line.match_indices(folder).any(|(at, _)| !before(at).is_some_and(|c| c.is_alphanumeric() || "_-./*}>".contains(c)))
}

// The repository keeps the rules.

#[test]
fn every_lock_is_in_the_table() {
    assert_none(unlisted_locks(&repository()));
}

#[test]
fn imports_go_one_way() {
    assert_none(wrong_directions(&repository()));
}

#[test]
fn what_is_below_rooms_names_none() {
    assert_none(rooms_below(&repository()));
}

#[test]
fn no_two_types_are_called_alike() {
    assert_none(namesakes(&repository()));
}

#[test]
fn crates_import_only_what_their_place_allows() {
    assert_none(forbidden_imports(&repository()));
}

#[test]
fn crates_depend_only_on_what_their_place_allows() {
    assert_none(forbidden_dependencies(&repository()));
}

#[test]
fn every_dependency_has_its_reason() {
    assert_none(unexplained_dependencies(&repository()));
}

#[test]
fn files_are_one_idea() {
    assert_none(long_files(&repository()));
}

#[test]
fn functions_fit_on_a_screen() {
    assert_none(long_functions(&repository()));
}

#[test]
fn names_say_what_is_inside() {
    assert_none(empty_names(&repository()));
}

#[test]
fn nothing_points_to_one_machine_or_registry() {
    assert_none(foreign_places(&repository()));
}

#[test]
fn the_program_is_held_to_the_lints_of_all() {
    assert_none(forgotten_lints(&repository()));
}

#[test]
fn work_left_to_do_has_an_issue() {
    assert_none(loose_ends(&repository()));
}

#[test]
fn every_test_is_in_a_program() {
    assert_none(forgotten_tests(&repository()));
}

#[test]
fn what_a_peer_chose_is_escaped_where_it_is_shown() {
    assert_none(unescaped(&repository()));
}

#[test]
fn the_readme_shows_the_example_as_it_is() {
    assert_none(stale_readme(&repository()));
}

#[test]
fn the_architecture_names_files_that_exist() {
    assert_none(stale_architecture(&repository()));
}

// The rules find what they are for.

const ROOT: &str = "mod config;\n\npub use config::{Limits, Timeouts};\npub use switchboard_proto::Codec;\n";

#[track_caller]
fn assert_found(rule: fn(&[Source]) -> Vec<String>, path: &str, text: &str) {
    let found = rule(&[Source::new("switchboard/src/lib.rs", ROOT), Source::new(path, text)]);
    assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
}

#[track_caller]
fn assert_fine(rule: fn(&[Source]) -> Vec<String>, path: &str, text: &str) {
    let found = rule(&[Source::new("switchboard/src/lib.rs", ROOT), Source::new(path, text)]);
    assert_eq!(found, Vec::<String>::new(), "{path}: {text}");
}

#[test]
fn a_path_is_found_in_any_form() {
    let code =
        "use a::{b, c::{d, e as f}, g::*};\nlet x: Option<a::h::I> = a::j::<K>();\nuse a;\nba::l; a_::m; z::a::n;";
    assert_eq!(paths(code, "a"), ["a::b", "a::c::d", "a::c::e", "a::g::*", "a::h::I", "a::j", "a"]);
    assert_eq!(paths("use a::{\n    b,\n    c,\n};\nuse d::e;", "a"), ["a::b", "a::c"]);
}

#[test]
fn an_import_against_the_direction_is_found() {
    assert_found(wrong_directions, "switchboard/src/link/outbox.rs", "use crate::transport::tcp::Tcp;\n");
    assert_found(
        wrong_directions,
        "switchboard/src/link/outbox.rs",
        "use crate::{\n    config::Limits,\n    node,\n};\n",
    );
    assert_found(wrong_directions, "switchboard/src/link/outbox.rs", "use super::super::server::Server;\n");
    assert_found(wrong_directions, "switchboard/src/link/outbox.rs", "use crate::hub::room::Overflow;\n");
    assert_found(wrong_directions, "switchboard/src/link.rs", "use crate::hub::Hub;\n");
    assert_found(wrong_directions, "switchboard/src/node/worker.rs", "use crate::hub::Hub;\n");
    assert_found(wrong_directions, "switchboard/src/error.rs", "use super::link::Peer;\n");
    assert_found(wrong_directions, "switchboard/src/client.rs", "fn f(_: crate::server::Server) {}\n");
    assert_found(wrong_directions, "switchboard/src/error.rs", "use crate::Limits;\n");
    assert_found(wrong_directions, "switchboard/src/gossip.rs", "");
}

#[test]
fn an_import_along_the_direction_is_fine() {
    assert_fine(
        wrong_directions,
        "switchboard/src/link/outbox.rs",
        "use super::{Peer, socket::Sink};\nuse crate::Limits;\n",
    );
    assert_fine(wrong_directions, "switchboard/src/link/outbox.rs", "use crate::Codec;\nuse crate::error::BoxError;\n");
    assert_fine(wrong_directions, "switchboard/src/link/outbox.rs", "/// See [`Tcp`](crate::transport::tcp::Tcp).\n");
    assert_fine(wrong_directions, "switchboard/src/testing.rs", "use crate::server::Server;\n");
    assert_fine(
        wrong_directions,
        "switchboard/src/error.rs",
        "#[cfg(test)]\nmod tests {\n    use crate::server::Server;\n}\n",
    );
}

#[test]
fn a_word_of_rooms_below_them_is_found() {
    assert_found(rooms_below, "switchboard/src/link/outbox.rs", "fn f(overflows: bool) {}\n");
    assert_found(rooms_below, "switchboard/src/link.rs", "/// As rooms do.\n");
    assert_found(rooms_below, "switchboard/src/node/handle.rs", "struct A(Arc<HubInner>);\n");
    assert_fine(rooms_below, "switchboard/src/hub/door.rs", "use super::room::Room;\n");
    assert_fine(rooms_below, "switchboard/src/link.rs", "#[cfg(test)]\nmod tests {\n    struct Room;\n}\n");
}

#[test]
fn a_second_type_of_a_name_is_found() {
    let beside = |path: &str, text: &str| {
        let known = Source::new("switchboard/src/hub/inbox.rs", "pub(super) struct Inbox;\n\npub enum Overflow {\n");
        namesakes(&[known, Source::new(path, text)]).len()
    };
    assert_eq!(beside("switchboard/src/transport/udp.rs", "pub(crate) struct Inbox {\n"), 1);
    assert_eq!(beside("switchboard/src/transport/udp.rs", "pub trait Inbox: Send {\n"), 1);
    assert_eq!(beside("proto/src/format.rs", "pub type Inbox<'a> = ();\n"), 1);
    assert_eq!(beside("cli/src/serve.rs", "pub(super) enum Overflow {\n"), 1);
    // Of another crate, what it keeps to itself; what a file keeps to itself; what belongs to a trait.
    assert_eq!(beside("cli/src/serve.rs", "pub(super) struct Inbox;\n"), 0);
    assert_eq!(beside("load/src/tally.rs", "pub(crate) struct Overflow;\n"), 0);
    assert_eq!(beside("switchboard/src/transport/udp.rs", "struct Inbox;\n    type Inbox = ();\n"), 0);
}

#[test]
fn an_import_that_a_crate_may_not_have_is_found() {
    assert_found(forbidden_imports, "proto/src/lines.rs", "use std::time::{Duration, Instant};\n");
    assert_found(forbidden_imports, "proto/src/lines.rs", "use tokio::sync::Notify;\n");
    assert_found(forbidden_imports, "proto/src/lines.rs", "fn f() -> std::net::UdpSocket { todo() }\n");
    assert_found(forbidden_imports, "proto/tests/lines.rs", "use switchboard::Lines;\n");
    assert_found(forbidden_imports, "cli/src/serve.rs", "use switchboard_proto::Lines;\n");
    assert_found(forbidden_imports, "load/src/rooms.rs", "use switchboard_proto::Lines;\n");
    assert_found(forbidden_imports, "switchboard/examples/chat.rs", "use switchboard_proto::Lines;\n");
    assert_found(forbidden_imports, "switchboard/src/server.rs", "use switchboard_load::typed::Url;\n");
    assert_found(forbidden_imports, "proto/src/lines.rs", "use std::time;\n");
    assert_found(forbidden_imports, "proto/src/lines.rs", "fn f() {\n    let now = SystemTime::now();\n}\n");
    assert_fine(forbidden_imports, "proto/src/lines.rs", "use std::net::SocketAddr;\nuse std::time::SystemTime;\n");
    assert_found(forbidden_imports, "cli/src/web/work.rs", "use crate::{services::rooms::Listener, units};\n");
    assert_fine(forbidden_imports, "cli/src/serve.rs", "use switchboard::Lines;\nuse switchboard_load::print;\n");
    assert_fine(forbidden_imports, "switchboard/src/server.rs", "use switchboard_proto::Lines;\n");
}

#[test]
fn a_dependency_that_a_crate_may_not_have_is_found() {
    let proto = "[dependencies]\nswitchboard-proto.workspace = true\n";
    assert_found(forbidden_dependencies, "cli/program/Cargo.toml", proto);
    assert_found(forbidden_dependencies, "load/Cargo.toml", "[dependencies]\nswitchboard-program.workspace = true\n");
    assert_found(forbidden_dependencies, "proto/Cargo.toml", "[dependencies]\ntokio = { version = \"1\" }\n");
    assert_fine(forbidden_dependencies, "cli/program/Cargo.toml", "[dependencies]\nswitchboard.workspace = true\n");
    assert_found(forbidden_dependencies, "cli/Cargo.toml", "[dependencies]\nswitchboard.workspace = true\n");
    assert_fine(forbidden_dependencies, "proto/Cargo.toml", "[dependencies]\n\n[dev-dependencies]\ntokio = \"1\"\n");
    assert_found(unexplained_dependencies, "cli/program/Cargo.toml", "[dependencies]\nleft-pad = \"1\"\n");
}

#[test]
fn too_much_code_in_a_file_is_found() {
    let code = "let x = 1;\n".repeat(FILE_LINES);
    let tests = "#[cfg(test)]\nmod tests {\n".to_owned() + &code + "}\n";
    let comments = "// Why.\n\n".repeat(FILE_LINES);
    assert_fine(long_files, "proto/src/lines.rs", &(code.clone() + &comments + &tests));
    assert_found(long_files, "proto/src/lines.rs", &(code.clone() + "let y = 2;\n"));
    assert_fine(long_files, "proto/src/lines/tests.rs", &(code.clone() + "let y = 2;\n"));
    assert_fine(long_files, "proto/tests/lines.rs", &(code + "let y = 2;\n"));
}

#[test]
fn a_long_function_is_found() {
    let function = |lines: usize| {
        let body = "        let x = 1;\n".repeat(lines - 4);
        format!(
            "impl A {{\n    fn short() {{}}\n\n    pub(crate) async fn f<T>()\n    where\n    {{\n{body}    }}\n\n    fn g();\n}}\n"
        )
    };
    assert_fine(long_functions, "cli/src/main.rs", &function(FUNCTION_LINES));
    assert_found(long_functions, "cli/src/main.rs", &function(FUNCTION_LINES + 1));
    assert_found(long_functions, "switchboard/examples/chat.rs", &function(FUNCTION_LINES + 1));
    assert_fine(long_functions, "switchboard/tests/chat.rs", &function(FUNCTION_LINES + 1));
}

#[test]
fn another_way_of_a_peers_bytes_to_a_terminal_is_found() {
    let display = "            Self::Unix(Some(path)) => write!(f, \"unix:{}\", path.display()),\n";
    assert_found(unescaped, "switchboard/src/link/origin.rs", display);
    assert_found(unescaped, "cli/src/services/received.rs", "let text = String::from_utf8_lossy(frame);\n");
    assert_found(unescaped, "load/src/echo.rs", "eprintln!(\"{reply}\");\n");
    assert_found(unescaped, "cli/src/services/echo.rs", "eprintln!(\"{peer}\");\n");
    assert_fine(unescaped, "switchboard/src/link/origin.rs", "write!(f, \"unix:{}\", Escaped(path))\n");
}

#[test]
fn a_name_that_says_nothing_is_found() {
    assert_found(empty_names, "cli/src/util.rs", "");
    assert_found(empty_names, "switchboard/tests/common/mod.rs", "");
    assert_fine(empty_names, "cli/src/utilisation.rs", "");
}

#[test]
fn a_registry_or_a_path_of_one_machine_is_found() {
    let (name, end) = REGISTRIES[0];
    assert_found(foreign_places, "README.md", &format!("See https://static.{name}{end}/x.\n"));
    assert_found(foreign_places, "docs/a.md", &format!("cd /{}/me/code\n", CHECKOUTS[0]));
    assert_fine(foreign_places, "docs/a.md", "ExecStart=/usr/local/bin/switchboard serve, src/work/in.rs, ../work/\n");
}

#[test]
fn a_readme_behind_its_example_is_found() {
    let example = Source::new("switchboard/examples/echo.rs", "// Run it.\nfn main() {}\n");
    let readme = |code: &str| Source::new("README.md", &format!("# Title\n\n```rust\n{code}```\n"));
    assert_eq!(stale_readme(&[Source::new("README.md", "")]).len(), 1);
    assert_eq!(stale_readme(&[example, readme("fn main() { old() }\n")]).len(), 1);
    let example = Source::new("switchboard/examples/echo.rs", "// Run it.\nfn main() {}\n");
    assert_eq!(stale_readme(&[example, readme("fn main() {}\n")]), Vec::<String>::new());
}

#[test]
fn an_architecture_that_names_no_file_is_found() {
    assert_found(
        stale_architecture,
        "ARCHITECTURE.md",
        "Files: `switchboard/src/lib.rs`, `switchboard/src/gone.rs`.\n",
    );
    assert_fine(stale_architecture, "ARCHITECTURE.md", "Folders: `switchboard/`, `switchboard/src`. Text: `serve`.\n");
}

#[test]
fn a_lock_that_no_table_has_is_found() {
    let of = |row: &str, code: &str| {
        unlisted_locks(&[Source::new("ARCHITECTURE.md", row), Source::new("switchboard/src/hub.rs", code)]).len()
    };
    let named = "pub(crate) struct Hub {\n    pub(super) rooms: Arc<parking_lot::Mutex<Rooms>>,\n}\n";
    let (bare, code) = ("struct Seen(RwLock<Ids>);\n", "fn f(seen: &Mutex<Ids>) {}\n// Mutex<Ids>\n");
    assert_eq!(of("`Hub::rooms`", named), 1, "it is in no table");
    assert_eq!(of("| `Other::rooms`; `Hub` of names |", named), 0);
    assert_eq!(of("| `Hub::names` |\n| `Other::rooms` |", named), 1);
    assert_eq!((of("| `Seens` |", bare), of("| `Seen` |", bare), of("", code)), (1, 0, 0));
}

#[test]
fn a_lint_that_the_program_lacks_is_found() {
    let all = Source::new("clippy.toml", "a = [\n    { path = \"b\" },\n]\n");
    let found = |own: &str| forgotten_lints(&[Source::new("cli/clippy.toml", own), Source::new(&all.path, &all.text)]);
    assert_eq!(found("a = [\n]\n").len(), 1);
    assert_eq!(found("a = [\n    { path = \"b\" },\n    { path = \"c\" },\n]\n"), Vec::<String>::new());
}

#[test]
fn work_without_an_issue_is_found() {
    let word = concat!("TO", "DO");
    assert_found(loose_ends, "cli/src/main.rs", &format!("// {word}: more\n"));
    assert_fine(loose_ends, "cli/src/main.rs", &format!("// {word}(#12): more\n"));
    assert_fine(loose_ends, "CONTRIBUTING.md", &format!("No `{word}` without an issue.\n"));
}

#[test]
fn a_test_that_nothing_runs_is_found() {
    let of = |path: &str| {
        let program = Source::new("switchboard/tests/main.rs", "mod harness;\n\nmod order;\n");
        forgotten_tests(&[program, Source::new(path, "")])
    };
    assert_eq!(of("switchboard/tests/disorder.rs").len(), 1);
    for fine in ["order.rs", "tidy.rs", "rooms/names.rs"] {
        assert_eq!(of(&format!("switchboard/tests/{fine}")), Vec::<String>::new());
    }
}
