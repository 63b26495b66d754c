//! The reader of circles, on small crates.

use super::*;

fn among(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> = files.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect();
    circles_among(&files)
}

#[test]
fn two_siblings_that_name_each_other_are_a_circle_with_its_lines() {
    let found = among(&[
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "//! crate::b\n\nuse crate::b::B;"),
        ("b.rs", "fn f() -> super::a::A {}"),
    ]);
    assert_eq!(found, ["crate: a -> b -> a (a.rs:3, b.rs:1)"]);
}

#[test]
fn circles_are_found_in_every_spelling_and_depth() {
    for (why, files) in [
        ("a group", [("s/x/a.rs", "use super::{c, b::{self, B}};"), ("s/x/b.rs", "use super::a;")]),
        ("through the crate", [("s/x/a.rs", "use crate::s::x::b;"), ("s/x/b.rs", "use super::a::A;")]),
        ("in an expression", [("s/x/a.rs", "fn f() { crate::s::x::b::g() }"), ("s/x/b.rs", "use super::a;")]),
        (
            "in an inline module",
            [("s/x/a.rs", "mod i { fn f() {} use super::super::b::B; }"), ("s/x/b.rs", "use super::a::A;")],
        ),
        ("behind one", [("s/x/a.rs", "mod i { fn f() {} } use super::b::B;"), ("s/x/b.rs", "use super::a;")]),
        ("visible", [("s/x/a.rs", "pub(super) use super::b::B;"), ("s/x/b.rs", "use super::a;")]),
        ("renamed", [("s/x/a.rs", "use super::b as other;"), ("s/x/b.rs", "use super::a as one;")]),
    ] {
        let found = among(&[("lib.rs", "mod s;"), ("s/mod.rs", ""), ("s/x/mod.rs", ""), files[0], files[1]]);
        assert_eq!(found.len(), 1, "{why}: {found:?}");
        assert!(found[0].starts_with("s::x: a -> b -> a"), "{why}: {found:?}");
    }
}

#[test]
fn a_longer_circle_and_one_between_folders_are_found() {
    let found = among(&[
        ("a.rs", "use crate::b;"),
        ("b/mod.rs", "mod deep;"),
        ("b/deep.rs", "use crate::c::C;"),
        ("c.rs", "use crate::a::A;"),
        ("d.rs", "use crate::a::A;"),
    ]);
    assert_eq!(found, ["crate: a -> b -> c -> a (a.rs:1, b/deep.rs:1, c.rs:1)"]);
}

#[test]
fn what_the_parent_brings_in_leads_to_where_it_stands() {
    for parent in ["pub use b::B;", "pub use self::b::{B, C};", "pub use b::*;", "use b::X as B;"] {
        let b = ("s/b.rs", "pub struct B; struct X; use super::a::A;");
        let found = among(&[("s/mod.rs", parent), ("s/a.rs", "use super::B;"), b]);
        assert_eq!(found, ["s: a -> b -> a (s/a.rs:1, s/b.rs:1)"], "{parent}");
    }
    let all =
        among(&[("s/mod.rs", "use b::B;"), ("s/a.rs", "use super::*;"), ("s/b.rs", "use super::a::A;")]);
    assert_eq!(all.len(), 1, "{all:?}");
}

#[test]
fn text_that_is_no_rust_ends_the_reading_all_the_same() {
    assert_eq!(among(&[("a.rs", "use {a; use b::{c, {; } use"), ("b.rs", "}} use ; use {,,; mod")]), [""; 0]);
}

#[test]
fn what_is_no_circle_passes() {
    for files in [
        // Down only.
        vec![("a.rs", "use crate::b::B; use crate::c;"), ("b.rs", "use crate::c::C;"), ("c.rs", "")],
        // A parent and its child.
        vec![("a/mod.rs", "mod b; use b::B;"), ("a/b.rs", "use super::A; use crate::a::A;")],
        // In comments, in strings, and in what is compiled for tests.
        vec![
            ("a.rs", "use crate::b;"),
            (
                "b.rs",
                "// use crate::a;\nconst S: &str = \"crate::a\";\n#[cfg(test)]\nmod tests { use crate::a; }",
            ),
        ],
        vec![("a.rs", "use crate::b;"), ("b/mod.rs", "#[cfg(test)]\nmod t;"), ("b/t.rs", "use crate::a;")],
        vec![("a.rs", "use crate::b;"), ("b.rs", "#[cfg(test)] use crate::a;\nfn f() {}")],
        // What the parent itself defines stands above both.
        vec![
            ("s/mod.rs", "pub struct A; use b::*;"),
            ("s/a.rs", "use super::A;"),
            ("s/b.rs", "use super::a; fn A() {}"),
        ],
        // Another crate's module of the same name.
        vec![("a.rs", "use crate::b;"), ("b.rs", "use other::a::A;")],
    ] {
        assert_eq!(among(&files), Vec::<String>::new(), "{files:?}");
    }
}
