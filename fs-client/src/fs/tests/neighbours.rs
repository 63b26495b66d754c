//! Other users of this machine and the store's own attributes.

use super::xattr::SetMode;
use super::*;

#[tokio::test]
async fn grants_are_the_mounting_users_alone() {
    let site = Site::new();
    let fault = FaultRemote::new(site.server.login("alice", "client1"));
    let owner = Owner { uid: ME.uid, gid: 1000 };
    let options = MountOptions { owner, ..MountOptions::default() };
    let alice = Mount { fs: Fs::new(fault.clone(), options, Handle::current()), fault };
    alice.save("a", "x").await.unwrap();
    let (fs, ino) = (&alice.fs, alice.ino("a").await);
    let any = SetMode::from_flags(0);
    let grant = "user.3s.grant.bob";
    fs.setxattr_for(ME, ino, grant, b"checkout,1h", any).await.unwrap();
    fs.setxattr_for(ME, ino, "user.tag", b"red", any).await.unwrap();

    for other in [Caller { uid: 0 }, Caller { uid: 65534 }] {
        for name in [grant, "user.3s.grant.ALL", "user.3s.flag"] {
            assert_eq!(
                errno(fs.setxattr_for(other, ino, name, b"both,1h", any).await),
                libc::EPERM,
                "{name}"
            );
            assert_eq!(errno(fs.removexattr_for(other, ino, name).await), libc::EPERM, "{name}");
        }
        for name in [grant, "user.3s.grant.ALL", "user.3s.why"] {
            assert_eq!(errno(fs.getxattr_for(other, ino, name).await), libc::EACCES, "{name}");
        }
        let listed = fs.listxattr_for(other, ino).await.unwrap();
        assert_eq!(listed, b"user.3s.flag\0user.tag\0");
        assert_eq!(fs.getxattr_for(other, ino, "user.3s.owner").await.unwrap(), b"alice");
        // What the kernel's question for the mode bits let through.
        fs.setxattr_for(other, ino, "user.tag", b"blue", any).await.unwrap();
        assert_eq!(fs.getxattr_for(other, ino, "user.tag").await.unwrap(), b"blue");
    }
    assert!(fs.getxattr_for(ME, ino, grant).await.unwrap().starts_with(b"checkout,"), "it is as it was");
    assert!(fs.listxattr_for(ME, ino).await.unwrap().starts_with(b"user.3s.grant.bob\0"));
    fs.removexattr_for(ME, ino, grant).await.unwrap();
}
