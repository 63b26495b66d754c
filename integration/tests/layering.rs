//! Arrows point down only, between crates and inside them; modules form no circles; files stay short.

use std::fs;
use std::io::Write;

use sss_integration::binaries::workspace;
use sss_integration::circles::circles;
use sss_integration::layers::{ADMIN, CLIENT, CRATES, SERVER, dependency_violations, sources, violations};

/// Above this a file is named in the test's output.
const LONG: usize = 400;
/// Above this the test fails.
const TOO_LONG: usize = 600;

#[test]
fn rooms_of_the_server_name_only_what_lies_below() {
    let found = violations(&workspace().join("server/src"), SERVER);
    assert!(found.is_empty(), "arrows that point up:\n{}", found.join("\n"));
}

#[test]
fn rooms_of_the_servers_program_name_only_what_lies_below() {
    let found = violations(&workspace().join("admin/src"), ADMIN);
    assert!(found.is_empty(), "arrows that point up:\n{}", found.join("\n"));
}

#[test]
fn rooms_of_the_client_name_only_what_lies_below() {
    let found = violations(&workspace().join("fs-client/src"), CLIENT);
    assert!(found.is_empty(), "arrows that point up:\n{}", found.join("\n"));
}

#[test]
fn modules_of_a_crate_form_no_circle() {
    let mut found = Vec::new();
    for (folder, ..) in CRATES {
        let circles = circles(&workspace().join(folder).join("src"));
        found.extend(circles.iter().map(|circle| format!("{folder}: {circle}")));
    }
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

#[test]
fn client_and_server_never_see_each_other_and_nothing_sees_the_tests() {
    let mut found = Vec::new();
    for (folder, _, allowed) in CRATES {
        let manifest =
            fs::read_to_string(workspace().join(folder).join("Cargo.toml")).expect("each crate has one");
        found.extend(
            dependency_violations(&manifest, allowed).iter().map(|name| format!("{folder} -> {name}")),
        );
    }
    assert!(found.is_empty(), "dependencies that may not be:\n{}", found.join("\n"));
}

#[test]
fn every_crate_of_the_workspace_is_in_the_table() {
    let root = fs::read_to_string(workspace().join("Cargo.toml")).expect("the workspace has a manifest");
    let members =
        root.lines().find(|line| line.starts_with("members")).expect("the members stand on one line");
    let count = members.matches('"').count() / 2;
    assert_eq!(count, CRATES.len(), "{members}");
    for (folder, ..) in CRATES {
        assert!(members.contains(&format!("\"{folder}\"")), "{folder} is not in {members}");
    }
}

#[test]
fn files_stay_short() {
    let mut too_long = Vec::new();
    for (folder, ..) in CRATES {
        for file in sources(&workspace().join(folder)) {
            let lines = fs::read_to_string(&file).expect("sources are text").lines().count();
            let shown = file.strip_prefix(workspace()).unwrap_or(&file).display().to_string();
            if lines > TOO_LONG {
                too_long.push(format!("{shown}: {lines} lines"));
            } else if lines > LONG {
                // Past the runner's capture, so that it is seen without failing.
                let _ = writeln!(std::io::stderr(), "LONG {shown}: {lines} lines, should stay under {LONG}");
            }
        }
    }
    assert!(too_long.is_empty(), "files over {TOO_LONG} lines:\n{}", too_long.join("\n"));
}
