//! Every command has a man page, and each page renders.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;

use sss_integration::binaries::workspace;
use sss_integration::{Cmd, bash};

#[path = "../examples/man/pages.rs"]
mod pages;

/// The pages that a command and the ones below it should have.
fn expected(command: &clap::Command, name: &str, into: &mut BTreeSet<String>) {
    into.insert(format!("{name}.1"));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
    {
        expected(below, &format!("{name}-{}", below.get_name()), into);
    }
}

#[test]
fn every_command_has_a_page_that_renders() {
    let dir = tempfile::tempdir().unwrap();
    pages::write(dir.path()).unwrap();
    let mut wanted = BTreeSet::new();
    for program in pages::programs() {
        expected(&program, program.get_name(), &mut wanted);
    }
    let man = dir.path().join("man");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let written: BTreeSet<String> = fs::read_dir(&man).unwrap().map(|entry| name(entry.unwrap())).collect();
    assert_eq!(written, wanted);
    for page in written {
        // Style is clap_mangen's affair; what a reader would see wrong is an error.
        Cmd::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(man.join(&page)).ok();
        let text = Cmd::new("mandoc").args(["-T", "ascii"]).arg(man.join(&page)).ok().out();
        // Bold is a letter, a backspace and the letter again.
        let text = text.replace("\u{8}", "");
        for section in ["NNAAMMEE", "SSYYNNOOPPSSIISS", "DDEESSCCRRIIPPTTIIOONN"] {
            assert!(text.contains(section), "{page} has no {section}:\n{text}");
        }
    }
}

#[test]
fn the_page_that_the_unit_file_names_is_there() {
    let unit = fs::read_to_string(workspace().join("server/packaging/3s-server.service")).unwrap();
    let named = unit.lines().find_map(|line| line.split("man:").nth(1)).unwrap();
    let page = named.split_whitespace().next().unwrap().replace("(1)", ".1");
    let dir = tempfile::tempdir().unwrap();
    pages::write(dir.path()).unwrap();
    assert!(dir.path().join("man").join(&page).is_file(), "{page}");
}

#[test]
fn completions_know_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    pages::write(dir.path()).unwrap();
    let script = dir.path().join("completions/3s-server.bash");
    // What bash does when somebody presses the tabulator.
    let press = r#"
        source "$0"
        function=$(complete -p 3s-server | sed 's/.* -F \([^ ]*\) .*/\1/')
        COMP_WORDS=(3s-server rot) COMP_CWORD=1
        "$function" 3s-server rot 3s-server
        echo "${COMPREPLY[@]}""#;
    bash(press).arg(&script).ok().says("rotate-key");
    for other in
        ["3s.bash", "_3s", "3s.fish", "3s-ca.bash", "_3s-ca", "3s-ca.fish", "_3s-server", "3s-server.fish"]
    {
        assert!(dir.path().join("completions").join(other).is_file(), "{other}");
    }
}
