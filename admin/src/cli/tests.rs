#![allow(clippy::unwrap_used)]

use super::*;
use clap::CommandFactory;

#[test]
fn the_commands_of_the_contract() {
    Cli::command().debug_assert();
    for line in [
        "3s-server init data",
        "3s-server user add data alice alice.pub",
        "3s-server user list data",
        "3s-server user disable data bob",
        "3s-server user enable data bob",
        "3s-server rotate-key data",
        "3s-server rotate-key data --keyring k",
        "3s-server run data --tls tls --listen 127.0.0.1:0",
        "3s-server audit data",
        "3s-server audit data --user bob --path @alice/d --since 2h --until 2026-11-26T08:00:00Z --action checkin --json --follow",
        "3s-server audit data --verify",
        "3s-server audit data --verify --head head.txt",
        "3s-server clock data",
        "3s-server clock data --reset",
        "3s-server drill data",
        "3s-server drill data --keyring k --scratch s --search /dev/loop0",
        "3s-server scrub data",
        "3s-server scrub data --keyring k --rate 64KiB",
        "3s-server run data --tls tls --listen 127.0.0.1:0 --deletion-log log",
        "3s-server backup data out",
        "3s-server backup data out --key backup.pub --keyring k",
        "3s-server restore out data --key backup.key --no-deletions",
        "3s-server restore out data --key backup.key --keyring k --deletions log",
        "3s-server run data --tls tls --listen [::1]:8443 --http-redirect 0.0.0.0:80 --config c --keyring k --log-format json",
    ] {
        assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
    }
}

#[test]
fn every_command_has_an_example() {
    fn check(command: &clap::Command, path: &str) {
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(example.contains("3s-server"), "{path} has no example");
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            check(below, &format!("{path} {}", below.get_name()));
        }
    }
    check(&Cli::command(), "3s-server");
}
