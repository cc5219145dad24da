//! The interface against its description, and the metrics against theirs.

use super::families;
use super::*;
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn every_path_is_described_and_every_description_has_a_path() {
    let described: Value = serde_json::from_slice(include_bytes!("openapi.json")).expect("it is JSON");
    let paths = described["paths"].as_object().expect("paths");
    for (path, methods) in paths {
        let filled =
            path.replace("{room}", "lobby").replace("{id}", "7").replace("{name}", "alice").replace("{network}", "x");
        let allowed: BTreeSet<_> = route::allowed(&filled).unwrap_or_else(|| panic!("{path}")).split(", ").collect();
        let mut expected: BTreeSet<_> =
            methods.as_object().expect("methods").keys().map(|name| name.to_uppercase()).collect();
        expected.insert("OPTIONS".to_owned());
        if expected.contains("GET") {
            expected.insert("HEAD".to_owned());
        }
        assert_eq!(allowed, expected.iter().map(String::as_str).collect(), "{path}");
    }
    for path in route::PATHS {
        assert!(paths.contains_key(*path), "{path}");
    }
}

#[test]
fn every_metric_is_documented_as_it_is() {
    let page = include_str!("../../../../docs/operations.md");
    let rows: BTreeSet<_> =
        page.lines().filter(|line| line.starts_with("| `switchboard_") || line.starts_with("| `process_")).collect();
    let expected = families::all().map(|metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        format!(
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind.name(),
            labels.join(", "),
            metric.help.trim_end_matches('.')
        )
    });
    let expected: Vec<_> = expected.collect();
    let missing: Vec<_> = expected.iter().filter(|row| !rows.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "docs/operations.md lacks {missing:#?}");
    assert_eq!(rows.len(), expected.len(), "docs/operations.md has more metrics than there are");
}

#[test]
fn an_address_with_a_prefix_stands_for_the_network_around_it() {
    let peer = switchboard::PeerAddr::Ip("[::ffff:10.1.2.3]:7".parse().expect("an address"));
    for (network, is_of) in [
        ("10.0.0.0/8", true),
        ("10.9.9.9/8", true),
        ("10.1.2.3", true),
        ("10.1.2.4", false),
        ("2001:db8::/32", false),
        ("::/0", false),
    ] {
        assert_eq!(pages::is_of(network, &peer), is_of, "{network}");
    }
}

#[test]
fn names_say_what_is_counted() {
    for metric in families::all() {
        assert_eq!(metric.name.ends_with("_total"), metric.kind == exposition::MetricKind::Counter, "{}", metric.name);
        for label in metric.labels {
            assert!(!["room", "name", "user", "address"].contains(label), "{}", metric.name);
        }
    }
}
