//! What the library promises about its folders, with a clock that the test moves.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use common::{Fixture, person, server};
use sss_certs::cert::Cert;
use sss_certs::index::{Index, Kind};
use sss_certs::issue::EnrollRequest;
use sss_certs::revoke::Target;
use sss_certs::{Ca, Days, Error, Serial};
use sss_common::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn serial(path: &Path) -> Serial {
    Cert::read(path).unwrap().serial
}

fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    names(dir).into_iter().map(|name| (name.clone(), fs::read(dir.join(name)).unwrap())).collect()
}

#[test]
fn folders_hold_what_the_contract_says_and_keys_are_private() {
    let fixture = Fixture::new();
    fixture.server("tls");
    fixture.enroll("alice", "client1", "id");
    for (dir, expected) in [
        ("ca", &["ca.crl", "ca.crt", "ca.key", "index.tsv"][..]),
        ("tls", &["ca.crl", "ca.crt", "server.crt", "server.key"]),
        ("id", &["ca.crl", "ca.crt", "client.crt", "client.key", "user.key", "user.pub"]),
    ] {
        let dir = fixture.path(dir);
        assert_eq!(names(&dir), expected);
        assert_eq!(mode(&dir), 0o700);
        for name in expected.iter().filter(|name| name.ends_with(".key")) {
            assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
        }
    }
    for dir in ["tls", "id"] {
        let copy = fs::read(fixture.path(dir).join("ca.crt")).unwrap();
        assert_eq!(copy, fs::read(fixture.path("ca/ca.crt")).unwrap());
    }
}

#[test]
fn init_never_touches_a_ca_that_is_there() {
    let fixture = Fixture::new();
    let dir = fixture.path("ca");
    let before = contents(&dir);
    assert!(matches!(Ca::init(&dir, Days::ROOT, fixture.now), Err(Error::CaExists(_))));
    assert_eq!(contents(&dir), before);
}

#[test]
fn an_interrupted_init_is_no_ca_and_is_not_overwritten() {
    let fixture = Fixture::new();
    let dir = fixture.path("ca");
    fs::remove_file(dir.join("ca.crt")).unwrap();
    let before = contents(&dir);
    assert!(matches!(Ca::open(&dir), Err(Error::CaUnfinished(_))));
    assert!(matches!(Ca::init(&dir, Days::ROOT, fixture.now), Err(Error::CaUnfinished(_))));
    assert_eq!(contents(&dir), before);
    assert!(matches!(Ca::open(fixture.dir.path()), Err(Error::NotACa(_))));
    assert!(matches!(Ca::open(&fixture.path("nowhere")), Err(Error::NotACa(_))));
}

#[test]
fn a_key_of_another_ca_is_noticed() {
    let (one, two) = (Fixture::new(), Fixture::new());
    fs::copy(one.path("ca/ca.key"), two.path("ca/ca.key")).unwrap();
    assert!(matches!(Ca::open(&two.path("ca")), Err(Error::CaKeyMismatch(_))));
    fs::write(two.path("ca/ca.key"), "damaged").unwrap();
    assert!(matches!(Ca::open(&two.path("ca")), Err(Error::CaKey { .. })));
}

#[test]
fn enrolling_again_keeps_every_key_and_renews_the_certificate() {
    let fixture = Fixture::new();
    let dir = fixture.path("id");
    fixture.enroll("alice", "client1", "id");
    let before = contents(&dir);
    let report = fixture.open().enroll(&person("alice", "client1"), &dir, fixture.now).unwrap();
    assert!(report.kept_user_key);
    for (name, content) in before {
        let kept = content == fs::read(dir.join(&name)).unwrap();
        assert_eq!(kept, name != "client.crt", "{name}");
    }
    assert_eq!(serial(&dir.join("client.crt")), report.serial);
    assert_eq!(fixture.open().index().entries().len(), 2);
}

#[test]
fn a_node_name_goes_to_a_second_user_only_when_that_is_asked_for() {
    let fixture = Fixture::new();
    let bob = |shared, at| {
        let request = EnrollRequest { shared, ..person("bob", "client1") };
        fixture.open().enroll(&request, &fixture.path("bob"), at).map(|report| report.shared_with)
    };
    fixture.enroll("alice", "client1", "alice");
    fixture.enroll("carol", "client2", "carol");
    let refused = bob(false, fixture.now).unwrap_err();
    assert!(matches!(&refused, Error::NodeOfOther { theirs, .. } if theirs == "alice"), "{refused}");
    assert!(!fixture.path("bob").exists(), "nothing was made");
    assert_eq!(bob(true, fixture.now).unwrap(), ["alice"]);
    assert_eq!(bob(false, fixture.now).unwrap(), ["alice"], "a renewal of what is so");

    let own = EnrollRequest { shared: false, ..person("alice", "client3") };
    assert!(
        fixture.open().enroll(&own, &fixture.path("alice3"), fixture.now).unwrap().shared_with.is_empty()
    );
}

#[test]
fn a_node_name_is_free_again_when_its_certificates_are_revoked_or_over() {
    let fixture = Fixture::new();
    let bob = EnrollRequest { shared: false, ..person("bob", "client1") };
    fixture.enroll("alice", "client1", "alice");
    let over = fixture.now.after(Days::NODE.duration() + Duration::from_secs(1));
    fixture.open().enroll(&bob, &fixture.path("later"), over).unwrap();

    let fixture = Fixture::new();
    fixture.enroll("alice", "client1", "alice");
    fixture
        .open()
        .revoke(&Target::find(fixture.path("alice/client.crt").to_str().unwrap()).unwrap(), fixture.now)
        .unwrap();
    fixture.open().enroll(&bob, &fixture.path("bob"), fixture.now).unwrap();
}

#[test]
fn an_enrolment_that_was_interrupted_anywhere_is_finished_by_the_next_and_loses_no_key() {
    let fixture = Fixture::new();
    let dir = fixture.path("id");
    let order = ["user.key", "user.pub", "client.key", "ca.crt", "ca.crl", "client.crt"];
    for made in 0..order.len() {
        fixture.enroll("alice", "client1", "id");
        for name in &order[made..] {
            fs::remove_file(dir.join(name)).unwrap();
        }
        let before = contents(&dir);
        fixture.enroll("alice", "client1", "id");
        assert!(before.iter().all(|(name, content)| fs::read(dir.join(name)).unwrap() == *content));
        assert_eq!(names(&dir).len(), order.len());
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn a_lost_public_key_is_made_again_and_a_foreign_one_is_refused() {
    let fixture = Fixture::new();
    let dir = fixture.path("id");
    fixture.enroll("alice", "client1", "id");
    let public = fs::read(dir.join("user.pub")).unwrap();
    fs::remove_file(dir.join("user.pub")).unwrap();
    fixture.enroll("alice", "client1", "id");
    assert_eq!(fs::read(dir.join("user.pub")).unwrap(), public);

    fixture.enroll("bob", "client1", "bob");
    fs::copy(fixture.path("bob/user.pub"), dir.join("user.pub")).unwrap();
    let enroll = || fixture.open().enroll(&person("alice", "client1"), &dir, fixture.now);
    assert!(matches!(enroll(), Err(Error::PublicKey(_))));
    fs::remove_file(dir.join("user.key")).unwrap();
    assert!(matches!(enroll(), Err(Error::PublicKey(_))), "no new key beside an old public half");
    assert!(!dir.join("user.key").exists());
}

#[test]
fn a_key_that_cannot_be_read_is_not_replaced() {
    let fixture = Fixture::new();
    let dir = fixture.path("id");
    fs::create_dir(&dir).unwrap();
    for name in ["user.key", "client.key"] {
        fs::write(dir.join(name), "precious, if damaged").unwrap();
        let refused = fixture.open().enroll(&person("alice", "client1"), &dir, fixture.now);
        assert!(matches!(refused, Err(Error::Key { .. })), "{name}");
        assert_eq!(contents(&dir), [(name.into(), b"precious, if damaged".to_vec())]);
        fs::remove_file(dir.join(name)).unwrap();
    }
    assert!(fixture.open().index().entries().is_empty());
}

#[test]
fn what_ends_soon_is_pointed_out() {
    let fixture = Fixture::new();
    fixture.open().issue_server(&server(&["localhost"], false), &fixture.path("tls"), fixture.now).unwrap();
    let line = |file: &str, word: &str, days: u32, more: i64| {
        let at = Timestamp(fixture.now.after(days * DAY).millis() + more);
        let said = sss_certs::show::show(&fixture.path(file), at).unwrap();
        said.lines().find(|line| line.trim_start().starts_with(word)).unwrap().to_owned()
    };
    // 90 days and 365, both in whole seconds.
    for (days, more, end) in [
        (0, 0, "Z"),
        (60, -2000, "Z"),
        (60, 0, "(ends in 29 days)"),
        (87, 0, "(ends in 2 days)"),
        (88, 0, "(ends in 1 day)"),
        (89, 1000, "(ends within a day)"),
        (90, 1000, "(over)"),
    ] {
        let said = line("tls/server.crt", "valid", days, more);
        assert!(said.ends_with(end), "{days} {more}: {said}");
    }
    for (days, more, end) in [
        (335, -2000, "Z"),
        (335, 1000, "(in 29 days)"),
        (364, 1000, "(within a day)"),
        (365, 1000, "(overdue)"),
    ] {
        let said = line("tls/ca.crl", "next due", days, more);
        assert!(said.ends_with(end), "{days} {more}: {said}");
    }
}

#[test]
fn an_identity_is_one_users() {
    let fixture = Fixture::new();
    fixture.enroll("alice", "client1", "id");
    let before = contents(&fixture.path("id"));
    let refused = fixture.open().enroll(&person("bob", "client1"), &fixture.path("id"), fixture.now);
    assert!(matches!(refused, Err(Error::OtherUser { .. })));
    assert_eq!(contents(&fixture.path("id")), before);
}

#[test]
fn users_of_one_node_have_their_own_certificates_with_the_nodes_name() {
    let fixture = Fixture::new();
    fixture.enroll("alice", "client1", "alice");
    fixture.enroll("bob", "client1", "bob");
    let [alice, bob] = ["alice", "bob"].map(|id| Cert::read(&fixture.path(id).join("client.crt")).unwrap());
    assert_ne!((&alice.serial, alice.public_key()), (&bob.serial, bob.public_key()));
    assert_eq!(alice.subject, "O=3S, OU=alice, CN=client1");
    assert_eq!(bob.subject, "O=3S, OU=bob, CN=client1");
}

#[test]
fn node_names_that_are_no_dns_names_still_get_certificates() {
    let fixture = Fixture::new();
    for (node, dir) in [("a..b", "a"), ("192.0.2.1", "b"), ("under_score", "c"), (&"n".repeat(64), "d")] {
        fixture.enroll("alice", node, dir);
        let subject = Cert::read(&fixture.path(dir).join("client.crt")).unwrap().subject;
        assert_eq!(subject, format!("O=3S, OU=alice, CN={node}"));
    }
}

#[test]
fn a_server_key_is_replaced_by_an_explicit_renewal_only() {
    let fixture = Fixture::new();
    let dir = fixture.path("tls");
    fixture.server("tls");
    let before = contents(&dir);
    let issue = |renew| fixture.open().issue_server(&server(&["localhost"], renew), &dir, fixture.now);
    assert!(matches!(issue(false), Err(Error::ServerExists(_))));
    assert_eq!(contents(&dir), before);
    assert_eq!(fixture.open().index().entries().len(), 1, "what was refused was not issued");

    let old = serial(&dir.join("server.crt"));
    let report = issue(true).unwrap();
    assert_eq!((report.before, report.serial), (Some(old), serial(&dir.join("server.crt"))));
    assert_ne!(contents(&dir)[3], before[3], "the key is new");
    assert_eq!(mode(&dir.join("server.key")), 0o600);

    fs::remove_file(dir.join("server.crt")).unwrap();
    assert!(matches!(issue(false), Err(Error::ServerExists(_))), "half a pair is a pair");
}

#[test]
fn a_server_has_a_host_and_its_long_names_fit() {
    let fixture = Fixture::new();
    let none = fixture.open().issue_server(&server(&[], false), &fixture.path("tls"), fixture.now);
    assert!(matches!(none, Err(Error::NoHost)));
    let long = format!("{}.example.org", "a".repeat(60));
    fixture.open().issue_server(&server(&[&long], false), &fixture.path("tls"), fixture.now).unwrap();
    assert_eq!(Cert::read(&fixture.path("tls/server.crt")).unwrap().subject, "O=3S, CN=3S server");
}

#[test]
fn nothing_for_others_is_written_beside_the_ca_key() {
    let fixture = Fixture::new();
    let dir = fixture.path("ca");
    let before = contents(&dir);
    let server = fixture.open().issue_server(&server(&["localhost"], false), &dir, fixture.now);
    assert!(matches!(server, Err(Error::OutputIsCa(_))));
    let enroll = fixture.open().enroll(&person("alice", "client1"), &dir, fixture.now);
    assert!(matches!(enroll, Err(Error::OutputIsCa(_))));
    assert_eq!(contents(&dir), before);
}

#[test]
fn nothing_outlives_its_root_and_a_dead_root_issues_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new();
    let path = dir.path().join("ca");
    let root_end = Ca::init(&path, "10".parse().unwrap(), fixture.now).unwrap().cert().not_after;
    let mut ca = Ca::open(&path).unwrap();
    let out = dir.path().join("id");
    assert_eq!(ca.enroll(&person("alice", "client1"), &out, fixture.now).unwrap().until, root_end);
    let late = fixture.now.after(10 * DAY);
    assert!(matches!(ca.enroll(&person("alice", "client1"), &out, late), Err(Error::CaExpired(_))));
    // What was issued can still be taken back.
    assert!(ca.revoke(&Target::File(out.join("client.crt")), late).is_ok());
}

#[test]
fn revoking_by_file_and_by_serial_twice_and_in_order() {
    let fixture = Fixture::new();
    fixture.enroll("alice", "client1", "alice");
    fixture.enroll("bob", "client1", "bob");
    let mut ca = fixture.open();
    let alice = fixture.path("alice/client.crt");
    let first = ca.revoke(&Target::File(alice.clone()), fixture.now).unwrap();
    assert_eq!((first.serial.clone(), first.before, first.crl_number), (serial(&alice), None, 2));
    let bob = serial(&fixture.path("bob/client.crt"));
    let later = fixture.now.after(DAY);
    assert_eq!(ca.revoke(&Target::Serial(bob.clone()), later).unwrap().crl_number, 3);
    let again = ca.revoke(&Target::Serial(first.serial.clone()), later).unwrap();
    assert_eq!(again.crl_number, 4);
    assert_eq!(again.before.unwrap().millis() / 1000, fixture.now.millis() / 1000);
    let list = ca.crl().unwrap();
    assert_eq!(list.revoked.iter().map(|(s, _)| s).collect::<Vec<_>>(), [&first.serial, &bob]);
}

#[test]
fn what_was_not_issued_here_cannot_be_revoked() {
    let (ours, theirs) = (Fixture::new(), Fixture::new());
    theirs.enroll("alice", "client1", "id");
    let mut ca = ours.open();
    let before = contents(&ours.path("ca"));
    let file = Target::File(theirs.path("id/client.crt"));
    assert!(matches!(ca.revoke(&file, ours.now), Err(Error::ForeignCertificate(_))));
    let unknown = Target::Serial("0102".parse().unwrap());
    assert!(matches!(ca.revoke(&unknown, ours.now), Err(Error::NotIssued(_))));
    let root = Target::File(ours.path("ca/ca.crt"));
    assert!(matches!(ca.revoke(&root, ours.now), Err(Error::IsRoot)));
    let root = Target::Serial(serial(&ours.path("ca/ca.crt")));
    assert!(matches!(ca.revoke(&root, ours.now), Err(Error::IsRoot)));
    let key = Target::File(ours.path("ca/ca.key"));
    assert!(matches!(ca.revoke(&key, ours.now), Err(Error::NotACertificate(_))));
    assert_eq!(contents(&ours.path("ca")), before);
}

#[test]
fn a_certificate_that_the_index_lost_is_revoked_by_its_file() {
    let fixture = Fixture::new();
    fixture.enroll("alice", "client1", "id");
    fs::write(fixture.path("ca/index.tsv"), Index::default().to_string()).unwrap();
    let cert = fixture.path("id/client.crt");
    fixture.open().revoke(&Target::File(cert.clone()), fixture.now).unwrap();
    let ca = fixture.open();
    let [entry] = ca.index().entries() else { panic!("{}", ca.index()) };
    assert_eq!((&entry.serial, entry.kind), (&serial(&cert), Kind::Client));
    assert!(ca.crl().unwrap().revokes(&entry.serial));
}

#[test]
fn an_old_index_forgets_no_revocation() {
    let fixture = Fixture::new();
    fixture.enroll("alice", "client1", "alice");
    fixture.enroll("bob", "client1", "bob");
    let old = fs::read(fixture.path("ca/index.tsv")).unwrap();
    fixture.open().revoke(&Target::File(fixture.path("alice/client.crt")), fixture.now).unwrap();
    fs::write(fixture.path("ca/index.tsv"), old).unwrap();
    fixture.open().revoke(&Target::File(fixture.path("bob/client.crt")), fixture.now).unwrap();
    assert_eq!(fixture.open().crl().unwrap().revoked.len(), 2);
}

#[test]
fn an_interrupted_revocation_is_finished_by_the_next_command() {
    let fixture = Fixture::new();
    fixture.enroll("alice", "client1", "id");
    let list = fs::read(fixture.path("ca/ca.crl")).unwrap();
    let revoked = fixture.open().revoke(&Target::File(fixture.path("id/client.crt")), fixture.now).unwrap();
    // As if the power had gone between the index and the list.
    fs::write(fixture.path("ca/ca.crl"), list).unwrap();
    assert!(!fixture.open().crl().unwrap().revokes(&revoked.serial));
    fixture.server("tls");
    assert!(fixture.open().crl().unwrap().revokes(&revoked.serial));
    assert_eq!(fs::read(fixture.path("tls/ca.crl")).unwrap(), fs::read(fixture.path("ca/ca.crl")).unwrap());
}

#[test]
fn a_revoked_identity_is_not_renewed_on_its_old_key() {
    let fixture = Fixture::new();
    fixture.enroll("alice", "client1", "id");
    fixture.open().revoke(&Target::File(fixture.path("id/client.crt")), fixture.now).unwrap();
    let enroll = || fixture.open().enroll(&person("alice", "client1"), &fixture.path("id"), fixture.now);
    assert!(matches!(enroll(), Err(Error::RevokedIdentity(_))));
    for name in ["id/client.crt", "id/client.key"] {
        fs::remove_file(fixture.path(name)).unwrap();
    }
    assert!(enroll().unwrap().kept_user_key);
}

#[test]
fn the_list_is_signed_anew_when_half_of_its_life_is_over() {
    let fixture = Fixture::new();
    let renew = |days: u32| {
        let now = fixture.now.after(days * DAY);
        fixture.open().issue_server(&server(&["localhost"], true), &fixture.path("tls"), now).unwrap();
        fixture.open().crl().unwrap().number
    };
    assert_eq!((renew(0), renew(182), renew(184), renew(185)), (1, 1, 2, 2));
}

#[test]
fn a_missing_damaged_or_foreign_list_is_not_made_up_anew() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    fixture.enroll("alice", "client1", "id");
    let path = fixture.path("ca/ca.crl");
    let index = fs::read(fixture.path("ca/index.tsv")).unwrap();
    for content in [None, Some("nothing".into()), Some(fs::read_to_string(other.path("ca/ca.crl")).unwrap())]
    {
        let _ = fs::remove_file(&path);
        if let Some(content) = &content {
            fs::write(&path, content).unwrap();
        }
        let revoke = fixture.open().revoke(&Target::File(fixture.path("id/client.crt")), fixture.now);
        assert!(matches!(revoke, Err(Error::Crl { .. })), "{content:?}");
        let issue =
            fixture.open().issue_server(&server(&["localhost"], false), &fixture.path("tls"), fixture.now);
        assert!(matches!(issue, Err(Error::Crl { .. })), "{content:?}");
        assert_eq!(fs::read(fixture.path("ca/index.tsv")).unwrap(), index, "noted nothing");
    }
}

#[test]
fn a_damaged_index_stops_everything_with_its_line() {
    let fixture = Fixture::new();
    fixture.enroll("alice", "client1", "id");
    let path = fixture.path("ca/index.tsv");
    let text = fs::read_to_string(&path).unwrap().replace("client\t", "guest\t");
    fs::write(&path, text).unwrap();
    assert!(matches!(Ca::open(&fixture.path("ca")), Err(Error::Index { line: 2, .. })));
}

#[test]
fn commands_at_the_same_time_lose_nothing() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for at in 0..8 {
            let fixture = &fixture;
            scope.spawn(move || fixture.server(&format!("tls{at}")));
        }
    });
    assert_eq!(fixture.open().index().entries().len(), 8);
}
