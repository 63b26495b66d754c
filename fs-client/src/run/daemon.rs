//! A mount in the background.
//!
//! `3s mount` starts itself again as the daemon (no fork: another process from the start), with a pipe as the
//! daemon's stdout. On it comes one line of JSON: ready, or the failure. A line that never comes is a
//! failure too. When the waiting command is interrupted, the daemon's line finds no reader, and it unmounts
//! again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use sss_common::Advised;

use super::mount::CLAIM_WAIT;
use super::plan::Plan;
use super::{logging, mount};
use crate::cli::MountArgs;

/// A mount makes fewer calls than this before it is ready.
const CALLS_MAX: u32 = 8;

/// Handshakes with the kernel and fusermount3.
const MARGIN: Duration = Duration::from_secs(15);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Report {
    Ready,
    Failed { what: String, hint: String },
}

/// Starts the daemon and returns when its mount answers.
pub fn start(plan: &Plan) -> Result<(), Advised> {
    let log = logging::file(plan.options.log.as_ref(), &plan.target)?;
    let (log_path, log_file) = log.unzip();
    let mut child = spawn(plan, log_path.as_deref(), log_file.map_or_else(Stdio::null, Stdio::from))?;
    let wait = CLAIM_WAIT + plan.options.timeout() * CALLS_MAX + MARGIN;
    let outcome = match report_of(&mut child, wait) {
        Some(Report::Ready) => return Ok(()),
        Some(Report::Failed { what, hint }) => Advised::new(what, hint),
        None => died(&mut child, log_path.as_deref(), wait),
    };
    // It has said its last word; what is left of it is of no use.
    let _ = child.kill();
    let _ = child.wait();
    Err(outcome)
}

fn spawn(plan: &Plan, log: Option<&Path>, stderr: Stdio) -> Result<Child, Advised> {
    let failed = |error: std::io::Error| {
        Advised::new(
            format!("the mount's process cannot be started: {error}"),
            "use -f to mount in the foreground, and check the limits on processes and memory",
        )
    };
    let mut options = plan.options.clone();
    options.identity = None;
    options.log = Some(log.map_or(crate::config::Log::None, |path| crate::config::Log::File(path.into())));
    Command::new(std::env::current_exe().map_err(failed)?)
        .args(["mount", "--daemon-child", "--identity"])
        .arg(&plan.identity)
        .arg("-o")
        .arg(options.to_string())
        .arg("--")
        .arg(plan.target.to_string())
        .arg(&plan.mountpoint)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(failed)
}

/// The daemon's line; `None` when it ended, or did not come, without one.
fn report_of(child: &mut Child, wait: Duration) -> Option<Report> {
    let stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        // Nobody listens any more when the wait is over.
        let _ = sender.send(read.ok().and_then(|_| serde_json::from_str(&line).ok()));
    });
    receiver.recv_timeout(wait).ok().flatten()
}

fn died(child: &mut Child, log: Option<&Path>, wait: Duration) -> Advised {
    let hint = match log {
        Some(path) => format!("{} may say why; with -f the mount runs in the foreground", path.display()),
        None => "mount with -f (in the foreground) or -o log=FILE to see why".into(),
    };
    match child.try_wait() {
        Ok(Some(status)) => {
            Advised::new(format!("the mount's process ended before it was ready ({status})"), hint)
        }
        _ => Advised::new(format!("the mount was not ready within {} s", wait.as_secs()), hint),
    }
}

/// The daemon's side.
pub fn run_child(args: MountArgs) -> Result<(), Advised> {
    // Fails only for the leader of a session already, which is as good.
    let _ = rustix::process::setsid();
    logging::to_stderr();
    let outcome = Plan::new(args).and_then(|plan| {
        mount::serve(&plan, |_| {
            say(&Report::Ready).map_err(|error| {
                Advised::new(format!("the command that waited for the mount is gone: {error}"), "mount again")
            })
        })
    });
    if let Err(failure) = &outcome {
        // Too late when it was ready already; what is returned goes to stderr, which is the log.
        let _ = say(&Report::Failed { what: failure.what.clone(), hint: failure.hint.clone() });
    }
    outcome
}

fn say(report: &Report) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}
