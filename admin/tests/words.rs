//! The words of `3s-server`: each command's help and the usual mistakes, as golden files in `tests/cmd`.
//!
//! `TRYCMD=overwrite cargo test -p sss-admin --test words` writes what the program says now; the diff shows what users will see
//! change.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

#[test]
fn the_words_are_those_of_the_golden_files() {
    let cases = trycmd::TestCases::new();
    cases.register_bin("3s-server", Path::new(env!("CARGO_BIN_EXE_3s-server")));
    cases.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR")).case("tests/cmd/*.trycmd");
}

#[test]
fn every_command_has_its_help_there() {
    let golden = fs::read_to_string("tests/cmd/help.trycmd").expect("the golden file is there");
    check(&sss_admin::cli::Cli::command(), "3s-server", &golden);
}

fn check(command: &clap::Command, path: &str, golden: &str) {
    assert!(golden.contains(&format!("$ {path} --help\n")), "tests/cmd/help.trycmd lacks `$ {path} --help`");
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
    {
        check(below, &format!("{path} {}", below.get_name()), golden);
    }
}
