#![allow(clippy::unwrap_used)]

use super::*;
use clap::CommandFactory;
use clap::error::ErrorKind;

fn parse(line: &str) -> Result<Cli, ErrorKind> {
    Cli::try_parse_from(line.split(' ')).map_err(|error| error.kind())
}

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
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn other_lines_are_refused() {
    for (line, kind) in [
        ("3s-server", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("3s-server rotate-key", ErrorKind::MissingRequiredArgument),
        ("3s-server user add data ALL x.pub", ErrorKind::ValueValidation),
        ("3s-server user add data a/b x.pub", ErrorKind::ValueValidation),
        ("3s-server audit", ErrorKind::MissingRequiredArgument),
        ("3s-server audit data --action read", ErrorKind::InvalidValue),
        ("3s-server audit data --since yesterday", ErrorKind::ValueValidation),
        ("3s-server audit data --path alice/d", ErrorKind::ValueValidation),
        ("3s-server audit data --head head.txt", ErrorKind::MissingRequiredArgument),
        ("3s-server audit data --verify --json", ErrorKind::ArgumentConflict),
        ("3s-server scrub", ErrorKind::MissingRequiredArgument),
        ("3s-server scrub data --rate fast", ErrorKind::ValueValidation),
        ("3s-server scrub data --rate 65535", ErrorKind::ValueValidation),
        ("3s-server restore out data --key k", ErrorKind::MissingRequiredArgument),
        ("3s-server restore out data --no-deletions", ErrorKind::MissingRequiredArgument),
        ("3s-server restore out data --key k --no-deletions --deletions log", ErrorKind::ArgumentConflict),
        ("3s-server run data --listen 127.0.0.1:0", ErrorKind::MissingRequiredArgument),
        ("3s-server run data --tls tls --listen 127.0.0.1", ErrorKind::ValueValidation),
        ("3s-server run data --tls tls --listen 127.0.0.1:0 --log-format xml", ErrorKind::InvalidValue),
    ] {
        assert_eq!(parse(line).unwrap_err(), kind, "{line}");
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
