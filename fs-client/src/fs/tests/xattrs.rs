//! The table of extended attributes.

use super::xattr::SetMode;
use super::*;

async fn set(mount: &Mount, ino: INodeNo, name: &str, value: &str, flags: i32) -> Answer<()> {
    mount.fs.setxattr(ino, name, value.as_bytes(), SetMode::from_flags(flags)).await
}

async fn list(mount: &Mount, ino: INodeNo) -> Vec<String> {
    let names = String::from_utf8(mount.fs.listxattr(ino).await.unwrap()).unwrap();
    names.split_terminator('\0').map(String::from).collect()
}

#[tokio::test]
async fn other_attributes_are_kept() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "x").await.unwrap();
    let ino = alice.ino("a").await;
    set(&alice, ino, "user.tag", "red", libc::XATTR_CREATE).await.unwrap();
    assert_eq!(errno(set(&alice, ino, "user.tag", "blue", libc::XATTR_CREATE).await), libc::EEXIST);
    assert_eq!(errno(set(&alice, ino, "user.no", "blue", libc::XATTR_REPLACE).await), libc::ENODATA);
    set(&alice, ino, "user.tag", "blue", libc::XATTR_REPLACE).await.unwrap();
    assert_eq!(alice.xattr("a", "user.tag").await.unwrap(), "blue");
    alice.fs.removexattr(ino, "user.tag").await.unwrap();
    assert_eq!(errno(alice.xattr("a", "user.tag").await), libc::ENODATA);
    assert_eq!(errno(alice.fs.removexattr(ino, "user.tag").await), libc::ENODATA);
    let large = "x".repeat(sss_common::limits::XATTR_VALUE_MAX + 1);
    assert_eq!(errno(set(&alice, ino, "user.tag", &large, 0).await), libc::E2BIG);
}

#[tokio::test]
async fn foreign_names_never_make_a_request() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "x").await.unwrap();
    let ino = alice.ino("a").await;
    alice.fault.calls();
    for name in ["security.capability", "security.selinux", "system.posix_acl_access", "trusted.x"] {
        assert_eq!(errno(alice.fs.getxattr(ino, name).await), libc::ENODATA);
        assert_eq!(errno(set(&alice, ino, name, "x", 0).await), libc::ENOTSUP);
        assert_eq!(errno(alice.fs.removexattr(ino, name).await), libc::ENOTSUP);
    }
    assert_eq!(alice.fault.calls(), Vec::<&str>::new());
}

#[tokio::test]
async fn grants_are_set_listed_and_written_back() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "x").await.unwrap();
    let ino = alice.ino("a").await;
    set(&alice, ino, "user.3s.grant.bob", "r,2h\n", 0).await.unwrap();
    set(&alice, ino, "user.3s.grant.carol", "both", 0).await.unwrap();
    assert_eq!(list(&alice, ino).await, ["user.3s.grant.bob", "user.3s.grant.carol", "user.3s.flag"]);
    let value = alice.xattr("a", "user.3s.grant.bob").await.unwrap();
    assert_eq!(value, "checkout,2026-11-21T17:04:05Z");
    set(&alice, ino, "user.3s.grant.bob", &value, libc::XATTR_REPLACE).await.unwrap();
    assert_eq!(alice.xattr("a", "user.3s.grant.bob").await.unwrap(), value);
    assert_eq!(list(&bob, bob.ino("@alice/a").await).await, ["user.3s.grant.bob"], "a grantee sees its own");
    for bad in ["read", "r,", "", "r,0s"] {
        assert_eq!(errno(set(&alice, ino, "user.3s.grant.bob", bad, 0).await), libc::EINVAL);
        let why = alice.xattr("a", "user.3s.why").await.unwrap();
        assert!(why.contains(sss_common::grant::GRAMMAR), "{why}");
    }
    assert_eq!(errno(set(&alice, ino, "user.3s.grant.no/body", "r", 0).await), libc::EINVAL);
    assert_eq!(errno(set(&alice, ino, "user.3s.grant.bob", "r,9999d", 0).await), libc::EINVAL);
    assert_eq!(errno(set(&alice, ino, "user.3s.grant.bob", "r", libc::XATTR_CREATE).await), libc::EEXIST);
    assert_eq!(errno(set(&alice, ino, "user.3s.grant.dave", "r", libc::XATTR_REPLACE).await), libc::ENODATA);
    let file = bob.ino("@alice/a").await;
    assert_eq!(errno(set(&bob, file, "user.3s.grant.bob", "rw", 0).await), libc::EACCES);
    alice.fs.removexattr(ino, "user.3s.grant.bob").await.unwrap();
    assert_eq!(errno(alice.fs.removexattr(ino, "user.3s.grant.dave").await), libc::ENODATA);
}

#[tokio::test]
async fn what_can_only_be_read() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "x").await.unwrap();
    let ino = alice.ino("a").await;
    for (name, value) in [("owner", "alice"), ("author", "alice"), ("version", "1"), ("right", "owner")] {
        let name = format!("user.3s.{name}");
        assert_eq!(alice.xattr("a", &name).await.unwrap(), value);
        assert_eq!(errno(set(&alice, ino, &name, "x", 0).await), libc::EPERM);
    }
    assert_eq!(errno(alice.xattr("a", "user.3s.signature").await), libc::ENODATA);
    assert_eq!(errno(alice.xattr("a", "user.3s.nothing").await), libc::ENODATA);
    set(&alice, ino, "user.3s.flag", "integrity", 0).await.unwrap();
    assert_eq!(alice.xattr("a", "user.3s.flag").await.unwrap(), "integrity");
    assert!(alice.xattr("a", "user.3s.signature").await.is_ok());
    assert_eq!(errno(set(&alice, ino, "user.3s.flag", "none", 0).await), libc::EINVAL);
    assert_eq!(alice.ino("a").await, ino, "an own change of the flag keeps the inode");
}

#[tokio::test]
async fn why_falls_back_to_the_folder_and_the_mount() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    assert_eq!(errno(bob.fs.getxattr(ROOT, "user.3s.why").await), libc::ENODATA);
    alice.save("a", "x").await.unwrap();
    alice.save("b", "x").await.unwrap();
    alice.grant("a", "bob", "checkin").await;
    alice.grant("b", "bob", "checkin").await;
    assert_eq!(errno(bob.open("@alice/a", READ).await), libc::EACCES);
    assert_eq!(errno(bob.walk("@alice/nothing").await), libc::ENOENT);
    for path in ["@alice/a", "@alice/b", "@alice"] {
        let why = bob.xattr(path, "user.3s.why").await.unwrap();
        assert_eq!(why, "your grant does not give you this right", "{path}");
    }
    assert!(bob.fs.getxattr(ROOT, "user.3s.why").await.is_ok());
}

#[tokio::test]
async fn ids_and_receipts_are_read_by_name() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "x").await.unwrap();
    let ino = alice.ino("a").await;
    let id = alice.xattr("a", "user.3s.id").await.unwrap();
    assert!(list(&alice, ino).await.iter().all(|name| name == "user.3s.flag"), "not listed");
    let name = format!("user.3s.receipt.{id}");
    assert_eq!(errno(alice.fs.getxattr(ROOT, &name).await), libc::ENOENT, "it is not deleted");
    alice.fs.unlink(ROOT, OsStr::new("a")).await.unwrap();
    alice.fault.calls();
    let json = alice.fs.getxattr(ROOT, &name).await.unwrap();
    assert_eq!(alice.fault.calls(), ["receipt"]);
    let receipt = sss_common::receipt::SignedReceipt::from_json(&json).unwrap().receipt().unwrap();
    assert_eq!((receipt.document.to_string(), receipt.path.as_str()), (id, "@alice/a"));
    assert_eq!(errno(bob.fs.getxattr(ROOT, &name).await), libc::ENOENT);
    alice.save("b", "x").await.unwrap();
    let elsewhere = alice.ino("b").await;
    for (ino, name) in [(elsewhere, name.as_str()), (ROOT, "user.3s.receipt."), (ROOT, "user.3s.receipt.x")] {
        assert_eq!(errno(alice.fs.getxattr(ino, name).await), libc::ENODATA, "{name}");
    }
    for name in [name.as_str(), "user.3s.id"] {
        assert_eq!(errno(set(&alice, ROOT, name, "x", 0).await), libc::EPERM, "{name}");
        assert_eq!(errno(alice.fs.removexattr(ROOT, name).await), libc::EPERM, "{name}");
    }
}

#[tokio::test]
async fn keys_that_are_not_erased_yet_are_asked_for_again() {
    let site = Site::new();
    let alice = site.mount("alice");
    let detail = "document 1 is deleted; its keys are not erased yet";
    alice.fault.plan(move |call| {
        let refused = RemoteError::refused(Code::NotErased, detail);
        (call == "receipt").then_some(crate::remote::fault::Fault::Before(refused))
    });
    let name = format!("user.3s.receipt.{}", "0".repeat(32));
    assert_eq!(errno(alice.fs.getxattr(ROOT, &name).await), libc::EAGAIN);
    let why = alice.fs.getxattr(ROOT, "user.3s.why").await.unwrap();
    assert_eq!(String::from_utf8(why).unwrap(), detail);
}
