#![allow(clippy::unwrap_used)]

use super::*;
use clap::CommandFactory;
use clap::error::ErrorKind;
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::pkcs8::EncodePrivateKey;

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
        "3s-server run data --tls tls --listen 127.0.0.1:0",
        "3s-server run data --tls tls --listen [::1]:8443 --http-redirect 0.0.0.0:80 --config c --keyring k --log-format json",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn other_lines_are_refused() {
    for (line, kind) in [
        ("3s-server", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("3s-server user add data ALL x.pub", ErrorKind::ValueValidation),
        ("3s-server user add data a/b x.pub", ErrorKind::ValueValidation),
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

#[test]
fn keys() {
    let mut rng = rand::rngs::OsRng;
    let key = RsaPrivateKey::new(&mut rng, 2048).unwrap();
    let public = key.to_public_key();
    let spki = public.to_public_key_pem(LineEnding::LF).unwrap();
    assert_eq!(checked_key(&spki).unwrap(), spki);
    assert_eq!(checked_key(&public.to_pkcs1_pem(LineEnding::LF).unwrap()).unwrap(), spki);

    let small = RsaPrivateKey::new(&mut rng, 1024).unwrap().to_public_key();
    let words = checked_key(&small.to_public_key_pem(LineEnding::LF).unwrap()).unwrap_err();
    assert!(words.contains("1024 bits"), "{words}");
    let private = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    assert!(checked_key(&private).unwrap_err().contains("private"));
    for bad in ["", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert!(checked_key(bad).is_err(), "{bad}");
    }
}
