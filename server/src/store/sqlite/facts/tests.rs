#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use sss_common::{Kind, Right};

use super::*;
use crate::store::conformance::{LATER, NOW, Rig, name, uid};
use crate::store::sqlite::{SqliteStore, schema};

/// How SQLite would go about a query, a line for each table that it looks at.
fn plan(c: &Connection, sql: &str) -> Vec<String> {
    let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = statement.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get(3).unwrap());
    }
    lines
}

/// Every table is reached through an index, never walked: what a request costs follows the rows that concern its
/// user and folder, not the size of the store.
#[test]
fn no_query_walks_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.db");
    schema::create(&path).unwrap();
    let c = schema::open_writer(&path).unwrap();
    for (sql, index) in [
        (LEVELS, "sqlite_autoindex_nodes_1"),
        (CHILDREN, "nodes_place (parent=? AND name>?)"),
        (BELOW, "grants_holder (grantee=? AND home=?)"),
        (BELOW, "nodes_guest (owner=? AND home=?)"),
        (SHARED_HOMES, "grants_holder (grantee=?"),
        (SHARED_HOMES, "nodes_guest (owner=?)"),
    ] {
        let lines = plan(&c, sql);
        assert!(lines.iter().any(|line| line.contains(index)), "{index} in {lines:#?}");
        for line in lines {
            let own_rows = ["SCAN up", "SCAN (", "SCAN 1 CONSTANT", "SCAN n"];
            let walks = line.starts_with("SCAN") && !own_rows.iter().any(|own| line.starts_with(own));
            let sorts = sql == CHILDREN && line.contains("TEMP B-TREE");
            assert!(!walks && !sorts, "{line} in {sql}");
        }
    }
}

/// What bob may not see costs what is not there, in a folder that he sees and in one that he does not.
#[tokio::test]
async fn hidden_names_take_the_queries_of_absent_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.db");
    let rig = Rig::new(Arc::new(SqliteStore::create(&path).unwrap())).await;
    let home = rig.home("alice").await;
    let way = rig.folder(home, "way").await;
    let shared = rig.folder(way, "shared").await;
    rig.grant(shared, "bob", Right::Checkout, LATER).await;
    for parent in [home, way] {
        rig.make(parent, "file", Kind::File).await;
        rig.folder(parent, "folder").await;
    }
    let c = schema::open_reader(&path).unwrap();
    let queries = |parent: NodeId, text: &str, user: &str| {
        let before = rows::queries::asked();
        let found = child(&c, parent, &name(text), &uid(user), NOW).unwrap();
        let visible = found.is_some_and(|seen| sss_policy::decide(&seen.facts, sss_policy::See, NOW).is_ok());
        (visible, rows::queries::asked() - before)
    };
    for parent in [home, way] {
        let absent = queries(parent, "absent", "bob");
        assert!(!absent.0 && absent.1 > 0);
        for hidden in ["file", "folder"] {
            assert_eq!(queries(parent, hidden, "bob"), absent, "{hidden}");
            assert_eq!(queries(parent, hidden, "carol"), queries(parent, "absent", "carol"), "{hidden}");
        }
    }
    assert!(queries(home, "way", "bob").0 && queries(way, "shared", "bob").0, "the way is visible");
    assert!(queries(home, "file", "alice").0);
}
