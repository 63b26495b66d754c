//! A store of its own for a test: folder, identities, server.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::binaries::program;
use crate::command::{Cmd, Done};
use crate::fixture;
use crate::home::Home;
use crate::mount::Mount;
use crate::wait::{eventually, holds_within};

/// How long a server may take to answer or to stop.
const SERVER_DEADLINE: Duration = Duration::from_secs(30);

/// How a store is to be started.
#[derive(Default)]
pub struct Builder {
    config: Option<String>,
    redirect: bool,
    keyring: Option<PathBuf>,
    deletion_log: Option<PathBuf>,
}

impl Builder {
    /// The text of the server's configuration file.
    pub fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.into());
        self
    }

    /// Also answer plain HTTP.
    pub fn redirect(mut self) -> Self {
        self.redirect = true;
        self
    }

    /// Makes the folder and starts the server.
    pub fn start(self) -> Store {
        let home = Home::new();
        if let Some(text) = &self.config {
            fs::write(home.path().join("server.toml"), text)
                .expect("a file can be written in a fresh folder");
        }
        let mut store = Store {
            home: Arc::new(home),
            how: self,
            server: None,
            addr: None,
            redirect: None,
            failpoint: None,
        };
        store.start_server();
        store
    }
}

/// A folder with identities and a server that answers.
pub struct Store {
    home: Arc<Home>,
    how: Builder,
    server: Option<Child>,
    addr: Option<SocketAddr>,
    redirect: Option<SocketAddr>,
    failpoint: Option<String>,
}

impl Store {
    /// With the server's defaults.
    pub fn start() -> Self {
        Builder::default().start()
    }

    /// With something other than the defaults.
    pub fn with() -> Builder {
        Builder::default()
    }

    /// A path in the store's temporary folder: `ca`, `tls`, `data`, `ids/alice`, or a new one.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The folder of one of the identities.
    pub fn identity(&self, id: &str) -> PathBuf {
        self.path("ids").join(id)
    }

    /// Where the server listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr.expect("the server was started")
    }

    /// Where the server answers plain HTTP.
    pub fn redirect_addr(&self) -> SocketAddr {
        self.redirect.expect("the store was started with a redirect")
    }

    /// One of our programs, to be run against this store.
    pub fn tool(&self, name: &str) -> Cmd {
        self.home.tool(name)
    }

    /// `curl` with the certificates of an identity.
    pub fn curl(&self, id: &str) -> Cmd {
        let id = self.identity(id);
        Cmd::new("curl")
            .args(["-sS", "--max-time", "20", "--cacert"])
            .arg(id.join("ca.crt"))
            .arg("--cert")
            .arg(id.join("client.crt"))
            .arg("--key")
            .arg(id.join("client.key"))
    }

    /// Mounts the store with one of the identities.
    #[track_caller]
    pub fn mount(&self, id: &str) -> Mount {
        self.mount_with(id, &[])
    }

    /// Mounts with further arguments.
    #[track_caller]
    pub fn mount_with(&self, id: &str, more: &[&str]) -> Mount {
        Mount::new(self.home.clone(), &format!("{}@{}", user_of(id), self.addr()), &self.identity(id), more)
    }

    /// The command that would mount, and its mount point.
    pub fn mount_command(&self, id: &str) -> (Cmd, PathBuf) {
        let mountpoint = self.fresh_dir("mnt-");
        let server = format!("{}@{}", user_of(id), self.addr());
        let command = self
            .tool("3s")
            .args(["mount", &server])
            .arg(&mountpoint)
            .arg("--identity")
            .arg(self.identity(id))
            .within(Duration::from_secs(60));
        (command, mountpoint)
    }

    /// Mounts where that must fail; a mount that succeeds all the same goes away again.
    #[track_caller]
    pub fn mount_fails(&self, id: &str) -> Done {
        let (command, mountpoint) = self.mount_command(id);
        let done = command.run();
        if done.success() {
            self.tool("3s").arg("unmount").arg(&mountpoint).run();
        }
        assert!(!done.success(), "should have failed:\n{}", done.account());
        done
    }

    /// An empty folder in the store's own.
    pub fn fresh_dir(&self, prefix: &str) -> PathBuf {
        self.home.fresh_dir(prefix)
    }

    /// The arguments of `3s-server run` for this store.
    pub fn server_arguments(&self) -> Vec<String> {
        let text = |path: PathBuf| path.display().to_string();
        let listen = self.addr.map_or_else(|| "127.0.0.1:0".into(), |addr| addr.to_string());
        let mut arguments = vec![
            "run".into(),
            text(self.path("data")),
            "--tls".into(),
            text(self.path("tls")),
            "--listen".into(),
            listen,
        ];
        if self.how.config.is_some() {
            arguments.extend(["--config".into(), text(self.path("server.toml"))]);
        }
        if let Some(keyring) = &self.how.keyring {
            arguments.extend(["--keyring".into(), text(keyring.clone())]);
        }
        if let Some(log) = &self.how.deletion_log {
            arguments.extend(["--deletion-log".into(), text(log.clone())]);
        }
        if self.how.redirect {
            arguments.extend(["--http-redirect".into(), "127.0.0.1:0".into()]);
        }
        arguments
    }

    /// From its next start on the server uses this keyring.
    pub fn use_keyring(&mut self, keyring: &Path) {
        self.how.keyring = Some(keyring.into());
    }

    /// At its next starts the server ends itself, as a power cut would, when it comes to this place (see
    /// `3s-server failpoints`); with `None` it does not.
    pub fn fail_at(&mut self, place: Option<&str>) {
        self.failpoint = place.map(Into::into);
    }

    /// Waits until the server has ended by itself.
    #[track_caller]
    pub fn await_end(&mut self, what: &str) {
        let mut child = self.server.take().expect("the server runs");
        let ended = holds_within(SERVER_DEADLINE, || matches!(child.try_wait(), Ok(Some(_))));
        if !ended {
            self.server = Some(child);
            panic!("the server does not end: {what}");
        }
    }

    /// From its next start on the server copies its deletion log here.
    pub fn use_deletion_log(&mut self, log: &Path) {
        self.how.deletion_log = Some(log.into());
    }

    /// Starts the server again, on the port that it had.
    #[track_caller]
    pub fn start_server(&mut self) {
        if let Err(why) = self.try_start_server() {
            panic!("the server does not start: {why}\n{}", self.server_log());
        }
    }

    /// Starts the server; what it said when it did not come up.
    pub fn try_start_server(&mut self) -> Result<(), String> {
        assert!(self.server.is_none(), "the server runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("server.log"))
            .expect("a log can be made");
        let mut child = Command::new(program("3s-server"))
            .args(self.server_arguments())
            .envs(self.failpoint.iter().map(|place| ("SSS_FAILPOINT", place)))
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".into()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|e| e.to_string())?;
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        // Reads on after the lines we want: the server must never meet a closed pipe.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        self.server = Some(child);
        let (mut listening, mut redirecting) = (None, None);
        while listening.is_none() || (self.how.redirect && redirecting.is_none()) {
            let Ok(line) = lines.recv_timeout(SERVER_DEADLINE) else {
                self.kill_server();
                return Err("it ended, or said nothing, before `listening on ADDR:PORT`".into());
            };
            let address = |prefix| line.strip_prefix(prefix).and_then(|rest| rest.trim().parse().ok());
            listening = listening.or(address("listening on "));
            redirecting = redirecting.or(address("redirecting on "));
        }
        (self.addr, self.redirect) = (listening, redirecting);
        Ok(())
    }

    /// Sends the server a signal.
    pub fn signal_server(&self, signal: Signal) {
        let child = self.server.as_ref().expect("the server runs");
        kill_process(pid_of(child), signal).expect("our own process takes signals");
    }

    /// Stops the server as an administrator does, and waits for its end.
    #[track_caller]
    pub fn stop_server(&mut self) {
        self.signal_server(Signal::TERM);
        let mut child = self.server.take().expect("the server runs");
        eventually(SERVER_DEADLINE, "the server ends after SIGTERM", || {
            matches!(child.try_wait(), Ok(Some(_)))
        });
    }

    /// Stops the server as a power cut does.
    pub fn kill_server(&mut self) {
        if let Some(mut child) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The rows of the audit log, after its chain was checked. Works beside a server and without.
    #[track_caller]
    pub fn audit_log(&self) -> Vec<serde_json::Value> {
        let audit = || self.tool("3s-server").arg("audit").arg(self.path("data"));
        audit().arg("--verify").ok().says("the chain holds");
        let rows = audit().arg("--json").ok().out();
        rows.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
    }

    /// The end of what the server logged.
    pub fn server_log(&self) -> String {
        let log = fs::read(self.path("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(8000)..]).into()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = writeln!(std::io::stderr(), "--- the server's log\n{}", self.server_log());
        }
        if let Some(mut child) = self.server.take() {
            let _ = kill_process(pid_of(&child), Signal::TERM);
            if !holds_within(Duration::from_secs(10), || matches!(child.try_wait(), Ok(Some(_)))) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed()).expect("a child's id is positive")
}

fn user_of(id: &str) -> &str {
    fixture::USERS.iter().find(|(folder, ..)| *folder == id).map_or(id, |(_, uid, _)| uid)
}
