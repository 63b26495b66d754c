//! The description for programs says what the code does.

use std::collections::BTreeSet;

use serde_json::Value;
use sss_common::Code;
use sss_common::wire::calls;

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

/// Fields of the wire's types against their schemas: a value of the code's own making must fit.
#[test]
fn the_wires_types_have_the_described_fields() {
    use sss_common::wire::{documents::*, fs::*, session::*};
    use sss_common::*;
    let document = document();
    let fits = |name: &str, value: Value| {
        let schema = &document["components"]["schemas"][name];
        let ours: BTreeSet<_> = value.as_object().unwrap().keys().cloned().collect();
        let theirs: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(ours, theirs, "{name}");
        for field in schema["required"].as_array().unwrap() {
            assert!(theirs.contains(field.as_str().unwrap()), "{name}.{field}");
        }
    };
    let json = |value: &dyn erased::Value| value.json();
    let (node, version) = (NodeId([0; 16]), Version(1));
    let (uid, name): (Uid, Name) = ("alice".parse().unwrap(), "a".parse().unwrap());
    let right = Effective { owner: true, checkout: true, checkin: true, ends_in_ms: Some(1) };
    let attr = Attr {
        node,
        kind: Kind::File,
        size: 1,
        mode: 0o644,
        mtime_ns: 0,
        ctime_ns: 0,
        version,
        owner: uid.clone(),
        author: Some(uid.clone()),
        flag: Some(Flag::Integrity),
        right,
    };
    let swapped = Swapped { backup: attr.clone(), folder: node, name: name.clone() };
    let grant = GrantInfo { grantee: Grantee::All, right: Right::Both, until: Timestamp(0) };
    fits("Effective", json(&right));
    fits("Attr", json(&attr));
    fits("Swapped", json(&swapped));
    fits("GrantInfo", json(&grant));
    fits("GrantList", json(&GrantList { grants: vec![grant] }));
    fits("CheckedIn", json(&CheckedIn { version }));
    fits("ChallengeRequest", json(&ChallengeRequest { uid: uid.clone() }));
    fits("ChallengeResponse", json(&ChallengeResponse { challenge: String::new(), expires_in: 1 }));
    fits("LoginResponse", json(&LoginResponse { token: String::new(), expires_in: 1 }));
    fits("Entry", json(&Entry { name: name.clone(), attr: attr.clone() }));
    fits("ListResponse", json(&ListResponse::default()));
    fits("ListRequest", json(&ListRequest { folder: node, after: Some(name.clone()), limit: 1 }));
    fits("CreateResponse", json(&CreateResponse { attr: attr.clone(), swapped: Some(swapped.clone()) }));
    fits("RenameResponse", json(&RenameResponse { attr, swapped: Some(swapped) }));
    fits("OpenRequest", json(&OpenRequest { node, want: Right::Both, version: Some(version) }));
    fits("Pin", json(&Pin { node, version }));
    fits("StatfsResponse", json(&StatfsResponse::default()));
    fits("RecordRequest", json(&RecordRequest { node, version: Some(version) }));
    fits("SetFlagRequest", json(&SetFlagRequest { node, flag: Flag::Integrity }));
    fits("RemoveRequest", json(&RemoveRequest { parent: node, name, folder: true }));
    fits("ReceiptRequest", json(&ReceiptRequest { document: node }));
    fits("SignedReceipt", json(&receipt::SignedReceipt::new(String::new(), b"")));
    fits("Problem", json(&Problem::new(Code::NotFound, "", "")));
}

mod erased {
    /// Anything that serialises.
    pub(super) trait Value {
        fn json(&self) -> serde_json::Value;
    }

    impl<T: serde::Serialize> Value for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap()
        }
    }
}
