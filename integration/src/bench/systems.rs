//! What is measured: a plain folder, 3S, sshfs.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::command::{Cmd, bash};
use crate::mount::{Mount, is_mounted};
use crate::store::Store;
use crate::wait::holds_within;

/// Something that holds files in a folder.
pub trait System {
    /// Its column's head.
    fn name(&self) -> &'static str;
    /// Where its files are.
    fn root(&self) -> &Path;
    /// Forgets what the client has cached.
    fn go_cold(&mut self);
}

/// The systems that can be measured here, the plain folder first, and why others cannot.
pub fn all_systems(scratch: &Path) -> (Vec<Box<dyn System>>, Vec<String>) {
    let mut systems: Vec<Box<dyn System>> = vec![Box::new(Plain::new(scratch)), Box::new(Ours::new())];
    let mut absent = Vec::new();
    match Sshfs::new(scratch) {
        Ok(sshfs) => systems.push(Box::new(sshfs)),
        Err(why) => absent.push(format!("sshfs was not measured: {why}")),
    }
    (systems, absent)
}

struct Plain(PathBuf);

impl Plain {
    fn new(scratch: &Path) -> Self {
        let dir = scratch.join("plain");
        fs::create_dir(&dir).expect("the scratch folder is ours");
        Plain(dir)
    }
}

impl System for Plain {
    fn name(&self) -> &'static str {
        "plain folder"
    }

    fn root(&self) -> &Path {
        &self.0
    }

    fn go_cold(&mut self) {
        // Drops the files' pages; names and attributes stay cached, which favours the plain folder.
        bash("sync .; find . -type f -exec dd if={} iflag=nocache count=0 status=none \\;").cwd(&self.0).ok();
    }
}

struct Ours {
    store: Store,
    mount: Option<Mount>,
}

impl Ours {
    fn new() -> Self {
        let store = Store::start();
        let mount = Some(store.mount("alice"));
        Ours { store, mount }
    }
}

impl System for Ours {
    fn name(&self) -> &'static str {
        "3S"
    }

    fn root(&self) -> &Path {
        self.mount.as_ref().expect("mounted between remounts").root()
    }

    fn go_cold(&mut self) {
        if let Some(mount) = self.mount.take() {
            mount.unmount();
        }
        self.mount = Some(self.store.mount("alice"));
    }
}

/// sshfs with its defaults, on an sshd of our own with keys of our own.
struct Sshfs {
    dir: PathBuf,
    mountpoint: PathBuf,
    port: u16,
    sshd: Child,
}

impl Sshfs {
    fn new(scratch: &Path) -> Result<Self, String> {
        let there = |tool: &str| bash(&format!("PATH=$PATH:/usr/sbin command -v {tool}")).run();
        for tool in ["sshfs", "sshd", "ssh-keygen"] {
            if !there(tool).success() {
                return Err(format!("there is no {tool}"));
            }
        }
        let (dir, mountpoint) = (scratch.join("sshfs"), scratch.join("sshfs-mount"));
        fs::create_dir_all(dir.join("files"))
            .and_then(|()| fs::create_dir(&mountpoint))
            .map_err(|e| e.to_string())?;
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        bash("ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f key; cp key.pub authorized")
            .cwd(&dir)
            .ok();
        let d = dir.display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {d}/host\nAuthorizedKeysFile {d}/authorized\nPidFile none\n\
             UsePAM no\nPasswordAuthentication no\nStrictModes no\nPermitRootLogin prohibit-password\n\
             Subsystem sftp internal-sftp\n"
        );
        fs::write(dir.join("config"), config).map_err(|e| e.to_string())?;
        if crate::is_root() {
            // sshd insists on this folder when root starts it; the package makes it when its service starts.
            fs::create_dir_all("/run/sshd").map_err(|e| e.to_string())?;
        }
        let log = fs::File::create(dir.join("sshd.log")).map_err(|e| e.to_string())?;
        let sshd = Command::new(there("sshd").out())
            .args(["-D", "-e", "-f"])
            .arg(dir.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| e.to_string())?;
        let sshfs = Sshfs { dir, mountpoint, port, sshd };
        if holds_within(Duration::from_secs(10), || sshfs.mount().success()) {
            Ok(sshfs)
        } else {
            let log = fs::read_to_string(sshfs.dir.join("sshd.log")).unwrap_or_default();
            Err(format!("a private sshd does not serve it here: {}\n{log}", sshfs.mount().err()))
        }
    }

    fn mount(&self) -> crate::command::Done {
        // The ssh that sshfs starts keeps its standard error for life: not a pipe of ours.
        let script = "sshfs 127.0.0.1:\"$D/files\" \"$AT\" -p \"$PORT\" \
             -o StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,BatchMode=yes,LogLevel=ERROR \
             -o \"IdentityFile=$D/key,IdentitiesOnly=yes\" < /dev/null > \"$D/log\" 2>&1 || { cat \"$D/log\" >&2; false; }";
        bash(script)
            .env("D", &self.dir)
            .env("AT", &self.mountpoint)
            .env("PORT", self.port.to_string())
            .within(Duration::from_secs(30))
            .run()
    }

    fn unmount(&self) {
        if is_mounted(&self.mountpoint) {
            Cmd::new("fusermount3").arg("-u").arg(&self.mountpoint).run();
        }
    }
}

impl System for Sshfs {
    fn name(&self) -> &'static str {
        "sshfs"
    }

    fn root(&self) -> &Path {
        &self.mountpoint
    }

    fn go_cold(&mut self) {
        self.unmount();
        let done = self.mount();
        assert!(done.success(), "sshfs does not mount again: {}", done.account());
    }
}

impl Drop for Sshfs {
    fn drop(&mut self) {
        self.unmount();
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}
