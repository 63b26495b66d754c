//! Grants as text: how they are written, listed, written back, refused; and the tools for them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::{Store, bash, eventually};

#[test]
fn grants_are_listed_and_can_be_written_back() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "x");
    alice.grant("f", "bob", "checkout,1h");
    alice.grant("f", "carol", "rw");
    let bobs = alice.get("f", "user.3s.grant.bob").unwrap();
    assert!(
        bobs.starts_with("checkout,20")
            && bobs.ends_with('Z')
            && bobs.len() == "checkout,2026-11-22T15:04:05Z".len(),
        "{bobs}"
    );
    let dump = alice.sh("getfattr -d f | tee \"$M/../dump\"").out();
    for listed in ["user.3s.grant.bob=\"checkout,", "user.3s.grant.carol=\"both,"] {
        assert!(dump.contains(listed), "{dump}");
    }
    for unlisted in [
        "user.3s.owner",
        "user.3s.author",
        "user.3s.version",
        "user.3s.right",
        "user.3s.why",
        "user.3s.signature",
    ] {
        assert!(!dump.contains(unlisted), "{dump}");
    }
    let seen = bob.sh("getfattr -d @alice/f").out();
    assert!(
        seen.contains("user.3s.grant.bob") && !seen.contains("carol"),
        "a grantee sees its own only: {seen}"
    );
    alice.sh("setfattr --restore=\"$M/../dump\"");
    assert_eq!(alice.get("f", "user.3s.grant.bob"), Ok(bobs), "writing back never extends");
    alice.sh("cp -a f g");
    assert_eq!(
        alice.get("g", "user.3s.grant.bob"),
        alice.get("f", "user.3s.grant.bob"),
        "cp -a copies grants"
    );
}

#[test]
fn all_spellings_of_a_grant() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    for (text, right) in [
        ("w,50s", "checkin"),
        ("r,10m", "checkout"),
        ("rw,2h", "both"),
        ("1,7d", "checkin"),
        ("2,90", "checkout"),
        ("3", "both"),
    ] {
        alice.grant("f", "bob", text);
        let stored = alice.get("f", "user.3s.grant.bob").unwrap();
        assert!(stored.starts_with(&format!("{right},")), "{text}: {stored}");
    }
    let absolute = format!("checkout,{}Z", bash("date -u -d '+30 days' +%FT%T").ok().out());
    alice.grant("f", "bob", &absolute);
    assert_eq!(alice.get("f", "user.3s.grant.bob"), Ok(absolute));
}

#[test]
fn malformed_grants_are_refused_with_the_grammar() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    for bad in [
        "read,50s",
        "checkout,",
        "checkout,0s",
        "checkout,1w",
        "checkout,-5",
        "checkout,2026-13-01T00:00:00Z",
        "",
    ] {
        assert_eq!(alice.try_set("f", "user.3s.grant.bob", bad), Err(Errno::INVAL), "{bad}");
        let why = alice.why("f");
        assert!(why.contains("RIGHT[,WHEN]"), "quotes the grammar for {bad:?}: {why}");
    }
    assert_eq!(alice.try_set("f", "user.3s.grant.bob", "checkout,10000d"), Err(Errno::INVAL), "past max_ttl");
    assert_eq!(alice.try_set("f", "user.3s.grant.b/d", "checkout,1h"), Err(Errno::INVAL));
    assert_eq!(alice.get("f", "user.3s.grant.bob"), Err(Errno::NODATA));
}

#[test]
fn the_tools_grant_info_and_revoke() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "x");
    store.tool("3s").arg("grant").arg(alice.at("f")).args(["bob", "checkout", "1h"]).ok();
    assert_eq!(bob.read("@alice/f"), b"x");
    store.tool("3s").arg("info").arg(alice.at("f")).ok().says("alice").says("bob").says("checkout");
    store.tool("3s").arg("revoke").arg(alice.at("f")).arg("bob").ok();
    eventually(Duration::from_secs(5), "bob is refused", || {
        fs::read(bob.at("@alice/f")).is_err_and(|e| Errno::from_io_error(&e) == Some(Errno::ACCESS))
    });
    let done = store.tool("3s").arg("grant").arg(alice.at("f")).args(["bob", "checkout", "soon"]).fails();
    assert!(done.err().lines().count() >= 2, "says what to do: {}", done.account());
    store.tool("3s").arg("grant").arg(bob.at("@alice/f")).args(["carol", "checkout", "1h"]).fails();
}
