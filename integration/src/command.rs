//! Running a program and seeing, when it does other than expected, all that it said.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a command may take unless [`Cmd::within`] says otherwise.
const DEADLINE: Duration = Duration::from_secs(120);

/// A command to be run to its end, in the C locale.
pub struct Cmd {
    command: Command,
    shown: String,
    input: Vec<u8>,
    deadline: Duration,
}

/// `bash -euo pipefail -c SCRIPT`.
pub fn bash(script: &str) -> Cmd {
    Cmd::new("bash").args(["-euo", "pipefail", "-c", script])
}

impl Cmd {
    /// A command without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.env("LC_ALL", "C");
        Cmd {
            command,
            shown: program.as_ref().to_string_lossy().into_owned(),
            input: Vec::new(),
            deadline: DEADLINE,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, Cmd::arg)
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Our programs are found by their names.
    pub fn with_programs(self) -> Self {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", crate::binaries::folder().display());
        self.env("PATH", path)
    }

    /// Runs in this folder.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What the command reads from its standard input; nothing otherwise.
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Panics when the command takes longer.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end, whatever that is.
    #[track_caller]
    pub fn run(mut self) -> Done {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("{} cannot be started: {e}", self.shown));
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let feeder = child.stdin.take().map(|mut pipe| {
            let input = std::mem::take(&mut self.input);
            // A command need not read its input: a broken pipe is no fault of it.
            thread::spawn(move || drop(pipe.write_all(&input)))
        });
        let status = wait(child, self.deadline);
        let collect = |pipe: Receiver<Vec<u8>>| pipe.recv_timeout(Duration::from_secs(10));
        let (stdout, stderr) = (collect(stdout), collect(stderr));
        if let Some(feeder) = feeder {
            let _ = feeder.join();
        }
        let held = stdout.is_err() || stderr.is_err();
        let done = Done {
            shown: self.shown,
            status,
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
        };
        assert!(done.status.is_some(), "took longer than {:?}:\n{}", self.deadline, done.account());
        assert!(!held, "something that it started holds its output open:\n{}", done.account());
        done
    }

    /// Runs it and panics unless it succeeds.
    #[track_caller]
    pub fn ok(self) -> Done {
        let done = self.run();
        assert!(done.success(), "should have succeeded:\n{}", done.account());
        done
    }

    /// Runs it and panics unless it fails.
    #[track_caller]
    pub fn fails(self) -> Done {
        let done = self.run();
        assert!(!done.success(), "should have failed:\n{}", done.account());
        done
    }
}

/// What a command did.
pub struct Done {
    shown: String,
    status: Option<ExitStatus>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Done {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Its exit code.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Standard output as text, without the end of its last line.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').into()
    }

    /// Standard error as text, without the end of its last line.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim_end_matches('\n').into()
    }

    /// Panics unless standard output or error contains `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.out().contains(text) || self.err().contains(text),
            "should have said {text:?}:\n{}",
            self.account()
        );
        self
    }

    /// Panics when standard output or error contains `text`.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(
            !self.out().contains(text) && !self.err().contains(text),
            "should not have said {text:?}:\n{}",
            self.account()
        );
        self
    }

    /// Command, status and both outputs, for a person.
    pub fn account(&self) -> String {
        let status = self.status.map_or_else(|| "still running, killed".to_string(), |s| s.to_string());
        format!("$ {}\n{status}\nstdout: {}\nstderr: {}", self.shown, self.out(), self.err())
    }
}

/// Reads a pipe to its end in the background.
fn drain(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

/// The status, or `None` when the deadline passed and the command's process group was killed. Blocks rather than polls:
/// benches time commands with it.
fn wait(mut child: Child, deadline: Duration) -> Option<ExitStatus> {
    let group = Pid::from_raw(child.id().cast_signed());
    let (sender, ended) = channel();
    thread::spawn(move || drop(sender.send(child.wait())));
    let status = ended.recv_timeout(deadline);
    if let (Err(_), Some(group)) = (&status, group) {
        let _ = kill_process_group(group, Signal::KILL);
        let _ = ended.recv_timeout(Duration::from_secs(10));
    }
    status.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_outputs_and_status_are_seen() {
        let done = bash("cat; echo error >&2; exit 3").stdin("hello\n").run();
        assert_eq!((done.out().as_str(), done.err().as_str(), done.code()), ("hello", "error", Some(3)));
        assert!(done.account().contains("exit 3"), "{}", done.account());
    }

    #[test]
    #[should_panic(expected = "should have succeeded")]
    fn a_failure_is_not_taken_for_success() {
        bash("exit 1").ok();
    }

    #[test]
    #[should_panic(expected = "should have failed")]
    fn a_success_is_not_taken_for_failure() {
        bash("exit 0").fails();
    }

    #[test]
    #[should_panic(expected = "took longer than")]
    fn a_command_that_hangs_is_killed() {
        bash("sleep 1000").within(Duration::from_millis(100)).run();
    }
}
