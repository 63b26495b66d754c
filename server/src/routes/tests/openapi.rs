//! The description for programs says what the code does.

use std::collections::BTreeSet;

use serde_json::Value;
use sss_common::wire::calls;
use sss_common::{Code, schema};

use super::super::PUBLIC;

fn document() -> Value {
    serde_json::from_str(include_str!("../../../openapi.json")).unwrap()
}

fn described(document: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            found.insert((method.to_uppercase(), path.clone()));
        }
    }
    found
}

#[test]
fn every_url_is_described_and_every_described_url_is_there() {
    // `{*path}` is axum's spelling of a name with slashes in it.
    let table = || PUBLIC.iter().chain(calls::URLS);
    let ours: BTreeSet<_> = table().map(|url| (url.method.to_owned(), url.path.replace("{*", "{"))).collect();
    assert_eq!(ours.len(), table().count(), "a URL stands in the tables twice");
    assert_eq!(ours, described(&document()));
}

#[test]
fn the_codes_are_the_codes() {
    let document = document();
    let listed = document["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
    let listed: BTreeSet<_> = listed.iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(listed, Code::EVERY.iter().map(|code| code.as_str()).collect());
    let words = document["components"]["schemas"]["Code"]["description"].as_str().unwrap();
    for code in Code::EVERY {
        assert!(words.contains(&format!("{code} {}", code.status())), "{code}");
    }
}

#[test]
fn the_version_is_ours() {
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(target)) => drop(found.insert(target.clone())),
                _ => collect(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut used = BTreeSet::new();
    collect(&document, &mut used);
    for target in &used {
        assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let target = format!("#/components/schemas/{name}");
        assert!(used.contains(&target), "{name} is not used");
    }
}

/// `WRITE_OPENAPI=1 cargo test -p sss-server openapi` writes them anew.
#[test]
fn the_schemas_are_the_wires_types() {
    let types = Value::Object(schema::components());
    if std::env::var_os("WRITE_OPENAPI").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, with_schemas(&text, &types)).unwrap();
        return;
    }
    let document = document();
    let (theirs, ours) = (&document["components"]["schemas"], types.as_object().unwrap());
    for (name, schema) in ours {
        assert_eq!(&theirs[name], schema, "{name}: WRITE_OPENAPI=1 writes the schemas anew");
    }
    let named = |schemas: &Value| schemas.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(named(theirs), named(&types), "WRITE_OPENAPI=1 writes the schemas anew");
}

/// The rest of the file stays as it was written: `schemas` is the last part of `components`, and that is the file's last.
fn with_schemas(text: &str, schemas: &Value) -> String {
    let (before, _) = text.split_once("    \"schemas\": {\n").unwrap();
    let schemas = serde_json::to_string_pretty(schemas).unwrap().replace('\n', "\n    ");
    format!("{before}    \"schemas\": {schemas}\n  }}\n}}\n")
}

#[test]
fn the_mounts_plain_calls_have_the_tables_request_and_answer() {
    let document = document();
    let schema = |body: &Value| body["content"]["application/json"]["schema"]["$ref"].clone();
    for call in schema::plain_calls() {
        let described = &document["paths"][call.path]["post"];
        let named = |name: &str| Value::from(format!("#/components/schemas/{name}"));
        assert_eq!(schema(&described["requestBody"]), named(&call.request), "{}", call.path);
        assert_eq!(schema(&described["responses"]["200"]), named(&call.answer), "{}", call.path);
    }
}
