//! `openapi.json` says what the routes are, all of it and nothing else; and what a client asks for means one thing.

use super::*;
use crate::seeds;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;

fn description() -> Value {
    let asset = page::find("/openapi.json").expect("it is served");
    serde_json::from_slice(asset.body).expect("it is JSON")
}

/// Follows a reference within the document.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"].as_str().map_or(value, |place| document.pointer(&place[1..]).expect("the reference leads somewhere"))
}

/// Every operation: its method, its path, and the parameters of its query.
fn operations(document: &Value) -> Vec<(Method, String, BTreeSet<String>)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("there are paths") {
        for (method, operation) in item.as_object().expect("an item").iter().filter(|(key, _)| *key != "parameters") {
            let method = method.to_uppercase().parse().expect("a method");
            let parameters = operation["parameters"].as_array().expect("a list").iter();
            let parameters = parameters.map(|parameter| resolved(document, parameter));
            let queries = parameters.filter(|parameter| parameter["in"] == "query");
            let queries = queries.map(|parameter| parameter["name"].as_str().expect("a name").to_owned());
            operations.push((method, path.clone(), queries.collect()));
        }
    }
    operations
}

#[test]
fn every_path_is_described_and_the_reverse() {
    let described: BTreeSet<_> = operations(&description()).into_iter().map(|(_, path, _)| path).collect();
    let [_, templates @ .., _] = route::PATHS else { unreachable!("the paths of files") };
    let mut served: BTreeSet<_> = templates.iter().map(|template| (*template).to_owned()).collect();
    // What else the page loads is its own affair.
    let interface = ["/", "/openapi.json", "/switchboard.js"];
    served.extend(interface.into_iter().filter(|path| page::find(path).is_some()).map(str::to_owned));
    assert_eq!(described, served);
}

#[test]
fn every_operation_takes_what_is_described_and_nothing_else() {
    let values = [
        ("after", "a"),
        ("before", "k3f9-7"),
        ("echo", "on"),
        ("follow", "1"),
        ("lastEventId", "k3f9-7"),
        ("format", "raw"),
        ("limit", "1"),
        ("name", "alice"),
        ("room", "a"),
        ("since", "k3f9-7"),
        ("skip", "0"),
    ];
    for (method, template, described) in operations(&description()) {
        let path = template.replace("{room}", "lobby");
        assert!(route(&method, &path, None).is_ok(), "{method} {template}");
        let is_taken = |(key, value): &(&str, &str)| route(&method, &path, Some(&format!("{key}={value}"))).is_ok();
        if page::find(&path).is_none() {
            let taken: BTreeSet<_> =
                values.iter().filter(|pair| is_taken(pair)).map(|(key, _)| (*key).to_owned()).collect();
            assert_eq!(taken, described, "{method} {template}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn visit(document: &Value, value: &Value) {
        resolved(document, value);
        match value {
            Value::Object(fields) => fields.values().for_each(|value| visit(document, value)),
            Value::Array(items) => items.iter().for_each(|value| visit(document, value)),
            _ => {}
        }
    }
    visit(&description(), &description());
}

#[test]
fn the_description_is_of_this_version() {
    assert_eq!(description()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn requests_mean_one_thing_and_pages_of_others_none_on_every_seed() {
    seeds::replay("request", body::run);
}

/// Requests of which the parts are mostly right.
fn requests() -> impl Strategy<Value = String> {
    let path = "/(rooms|ws|me|tickets|rooms/(o%70s|[a-z.%]{0,4})(/(ws|events|messages|members)?)?)?";
    let pair = "(after|before|echo|follow|format|lastEventId|limit|name|room|since|skip|[a-z%]{1,3})=(1|on|raw|k3f9-7|ops|%6fps|[ -~]{0,6})";
    let place =
        "(localhost|127.0.0.1|\\[::1\\]|evil.example|example.org|[a-z.@\\[\\]]{0,9})[.]?(:(80|443|3000|8082|0*80|x)?)?";
    let site = "(none|same-origin|same-site|cross-site)?\n(navigate|cors)?\n(http://(localhost|evil.example)/)?\n(curl/8|Mozilla/5.0 [(]X11[)])?";
    (
        "(GET|GET|GET|HEAD|POST|POST|PUT|OPTIONS)",
        path,
        prop::collection::vec(pair, 0..4),
        (place, "((https?|ftp)://)?", place, prop::bool::ANY),
        site,
    )
        .prop_map(|(method, path, pairs, (host, scheme, other, is_own), site)| {
            let from = if is_own { &host } else { &other };
            format!("{method}\n{path}?{}\n{host}\n{scheme}{from}\n{site}", pairs.join("&"))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn requests_mean_one_thing_and_pages_of_others_none(request in requests()) {
        body::run(request.as_bytes());
    }
}
