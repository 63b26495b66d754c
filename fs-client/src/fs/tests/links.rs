//! Where links of others lead.

use super::*;

/// alice, whose folder `d` carol may write, and carol; in the folder a link of alice's out of the mount.
async fn shared() -> (Site, Mount, Mount) {
    let site = Site::new();
    let (alice, carol) = (site.mount("alice"), site.mount("carol"));
    let folder = alice.fs.mkdir(ROOT, OsStr::new("d"), 0o755).await.unwrap().ino;
    alice.fs.mkdir(folder, OsStr::new("e"), 0o755).await.unwrap();
    alice.link("d/own", "/etc").await;
    alice.link("top", "..").await;
    alice.grant("d", "carol", "both,1h").await;
    (site, alice, carol)
}

impl Mount {
    async fn link(&self, path: &str, target: &str) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = if folder.is_empty() { ROOT } else { self.ino(folder).await };
        self.fs.symlink(folder, OsStr::new(name), OsStr::new(target)).await.unwrap();
    }

    async fn target(&self, path: &str) -> Answer<String> {
        let ino = self.walk(path).await?.ino;
        Ok(String::from_utf8(self.fs.readlink(ino).await?.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn ones_own_links_lead_where_they_say() {
    let (_site, alice, carol) = shared().await;
    assert_eq!(alice.target("d/own").await.unwrap(), "/etc");
    assert_eq!(alice.target("top").await.unwrap(), "..");
    carol.link("hers", "../../../../etc/passwd").await;
    assert_eq!(carol.target("hers").await.unwrap(), "../../../../etc/passwd");
}

/// alice can move the folder in which it lies, and with it what `..` leads to.
#[tokio::test]
async fn ones_own_links_in_other_homes_lead_to_something_in_the_mount() {
    let (_site, _alice, carol) = shared().await;
    carol.link("@alice/d/hers", "../../etc/passwd").await;
    assert_eq!(
        carol.target("@alice/d/hers").await.unwrap(),
        "../../etc/passwd",
        "two levels up is her own home"
    );
    carol.link("@alice/d/out", "../../../etc/passwd").await;
    assert_eq!(errno(carol.target("@alice/d/out").await), libc::EACCES);
}

#[tokio::test]
async fn links_of_others_lead_to_something_in_the_mount() {
    let (_site, alice, carol) = shared().await;
    for (at, inside) in
        ["e", "./e//", "missing", "missing/x", "..", "../d/e/x", "../@bob/x", "../@alice/d", "in"]
            .iter()
            .enumerate()
    {
        let name = format!("in{at}");
        carol.link(&format!("@alice/d/{name}"), inside).await;
        assert_eq!(alice.target(&format!("d/{name}")).await.unwrap(), *inside);
    }
    carol.link("@alice/d/e/deep", "../../../@alice/d/e").await;
    assert_eq!(errno(alice.target("d/e/deep").await), libc::EACCES, "three levels up from the second");
    assert_eq!(
        carol.target("@alice/d/e/deep").await.unwrap(),
        "../../../@alice/d/e",
        "from the fourth in hers"
    );
}

#[tokio::test]
async fn links_of_others_lead_nowhere_else() {
    let (_site, alice, carol) = shared().await;
    let out = [
        "/home/alice/.bashrc",
        "../../etc/passwd",
        "e/../../../etc",
        "missing/../../../etc",
        // Over alice's own links.
        "own/passwd",
        "../top/etc/passwd",
        "e/../own",
        // Behind a name `..` depends on what that name is by then.
        "e/../e",
        "missing/../e",
        // What is above the root is not the mount's, whatever it is called.
        "../@alice/../x",
    ];
    for (at, target) in out.into_iter().enumerate() {
        let name = format!("out{at}");
        carol.link(&format!("@alice/d/{name}"), target).await;
        let refused = alice.target(&format!("d/{name}")).await.unwrap_err();
        assert_eq!(refused.errno.code(), libc::EACCES, "{target}");
        assert!(refused.why.contains("carol") && refused.why.contains("follow_symlinks"), "{}", refused.why);
    }
    // Over another link of carol's, to one that leads out.
    carol.link("@alice/d/chain", "out1").await;
    assert_eq!(errno(alice.target("d/chain").await), libc::EACCES);
    carol.link("@alice/d/loop", "loop").await;
    assert_eq!(errno(alice.target("d/loop").await), libc::ELOOP);
}

#[tokio::test]
async fn who_wants_to_follow_them_may() {
    let (site, _alice, carol) = shared().await;
    carol.link("@alice/d/out", "/etc/passwd").await;
    let options = MountOptions { follow_symlinks: true, ..MountOptions::default() };
    let fault = FaultRemote::new(site.server.login("alice", "client1"));
    let follows = Mount { fs: Fs::new(fault.clone(), options, Handle::current()), fault };
    assert_eq!(follows.target("d/out").await.unwrap(), "/etc/passwd");
}
