//! Running programs, and a CA to run them on.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sss_certs::issue::{EnrollRequest, ServerRequest};
use sss_certs::{Ca, Days};
use sss_common::{Clock, SystemClock, Timestamp};
use tempfile::TempDir;

pub const TOOL: &str = env!("CARGO_BIN_EXE_3s-ca");

/// What a program said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs `program` in `dir`; the arguments are separated by blanks.
pub fn run(dir: &Path, program: &str, arguments: &str) -> Said {
    Command::new(program).args(arguments.split_whitespace()).current_dir(dir).output().unwrap().into()
}

pub fn ca(dir: &Path, arguments: &str) -> Said {
    run(dir, TOOL, arguments)
}

pub fn openssl(dir: &Path, arguments: &str) -> Said {
    run(dir, "openssl", arguments)
}

/// Runs a script as a careful person would: the first command that fails ends it.
pub fn shell(dir: &Path, script: &str) -> Said {
    let tools = Path::new(TOOL).parent().unwrap().display();
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-euc", script]).current_dir(dir).env("PATH", path).env("HOME", dir);
    shell.output().unwrap().into()
}

/// The shell blocks of the README's section with that title.
pub fn readme_scripts(title: &str) -> Vec<String> {
    let text = include_str!("../../README.md");
    let section = text.split("\n## ").find(|section| section.lines().next() == Some(title)).unwrap();
    let blocks = section.split("\n```sh\n").skip(1);
    blocks.map(|block| block.split_once("\n```").unwrap().0.to_owned()).collect()
}

pub fn server(hosts: &[&str], renew: bool) -> ServerRequest {
    ServerRequest {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        days: Days::SERVER,
        renew,
    }
}

pub fn person(uid: &str, node: &str) -> EnrollRequest {
    EnrollRequest {
        uid: uid.parse().unwrap(),
        machine: node.parse().unwrap(),
        days: Days::NODE,
        shared: true,
    }
}

/// A CA in a folder that goes away, with a clock that stands.
pub struct Fixture {
    pub dir: TempDir,
    pub now: Timestamp,
}

impl Fixture {
    pub fn new() -> Self {
        let fixture = Fixture { dir: tempfile::tempdir().unwrap(), now: SystemClock.now() };
        Ca::init(&fixture.path("ca"), Days::ROOT, fixture.now).unwrap();
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn open(&self) -> Ca {
        Ca::open(&self.path("ca")).unwrap()
    }

    pub fn server(&self, out: &str) {
        self.open()
            .issue_server(&server(&["localhost", "127.0.0.1"], false), &self.path(out), self.now)
            .unwrap();
    }

    pub fn enroll(&self, uid: &str, node: &str, out: &str) {
        self.open().enroll(&person(uid, node), &self.path(out), self.now).unwrap();
    }
}
