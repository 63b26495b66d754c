#![allow(clippy::unwrap_used)]

use super::*;
use crate::store::sqlite::schema;

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
