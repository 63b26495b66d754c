//! `3s status`: which mounts there are, and whether they answer.

use std::sync::mpsc;
use std::time::Duration;

use rustix::io::Errno;

use sss_common::say;
use sss_common::{Advised, Clock, SystemClock};

use super::mountinfo::{self, Mounted};
use super::recover::{Keys, line};
use super::registry::Registry;
use super::xattr;
use crate::cli::StatusArgs;
use crate::identity::ends_in;
use crate::recovery::store;

/// A mount that has not answered by then is reported as silent; its own deadline may be longer.
const ANSWER_MAX: Duration = Duration::from_secs(12);

/// Lists the mounts, or one.
pub fn status(args: &StatusArgs) -> Result<(), Advised> {
    let mounts = match &args.mountpoint {
        None => mountinfo::all()?,
        Some(path) => match mountinfo::on(&mountinfo::resolve(path))? {
            Some(mounted) => vec![mounted],
            None => {
                return Err(Advised::new(
                    format!("{} is not a 3S mount", path.display()),
                    "`3s status` without a folder lists the mounts; `3s mount --help` shows how to make one",
                ));
            }
        },
    };
    if mounts.is_empty() {
        say!("nothing is mounted");
    }
    let one = args.mountpoint.as_ref().and_then(|_| mounts.first().map(|mounted| mounted.target.to_string()));
    // All are asked at once, so one silent mount costs its deadline once.
    let asked: Vec<_> = mounts.into_iter().map(|mounted| (ask(&mounted), mounted)).collect();
    let mut silent = Vec::new();
    for (answer, mounted) in asked {
        let answer = answer.recv_timeout(ANSWER_MAX).unwrap_or_else(|_| Answer {
            state: State::Silent(format!("no answer within {} s", ANSWER_MAX.as_secs())),
            why: None,
        });
        show(&mounted, &answer);
        if let State::Silent(_) = answer.state {
            silent.push(mounted.point.display().to_string());
        }
    }
    show_kept(one.as_deref());
    match silent.is_empty() {
        true => Ok(()),
        false => Err(Advised::new(
            format!("not answering: {}", silent.join(", ")),
            "check the server and the network; when the session is over, unmount and mount again; \
             when the process is gone: mount again, or fusermount3 -u MOUNTPOINT",
        )),
    }
}

/// What earlier mounts of this machine's user could not check in; of one user of one server, or of all.
fn show_kept(target: Option<&str>) {
    let mut kept = store::folder().map(|folder| store::all(&folder)).unwrap_or_default();
    kept.retain(|kept| target.is_none_or(|target| kept.label.target == target));
    if kept.is_empty() {
        return;
    }
    println!("kept on this machine, not on a server (`3s recover` gives it back):");
    let mut keys = Keys::new(None);
    kept.iter().for_each(|kept| println!("  {}", line(kept, &mut keys)));
}

struct Answer {
    state: State,
    why: Option<String>,
}

enum State {
    Answers,
    /// A mount is for its user alone; the kernel keeps even root out.
    Closed,
    Silent(String),
}

/// Asks in a thread of its own, which may hang as long as it likes.
fn ask(mounted: &Mounted) -> mpsc::Receiver<Answer> {
    let (sender, receiver) = mpsc::channel();
    let point = mounted.point.clone();
    let foreign = mounted.user != rustix::process::geteuid().as_raw();
    std::thread::spawn(move || {
        let asked = rustix::fs::statvfs(&point).map(drop).and_then(|()| rustix::fs::stat(&point).map(drop));
        let why = xattr::why(&point);
        let state = match asked {
            Ok(()) => State::Answers,
            Err(Errno::ACCESS) if foreign => State::Closed,
            Err(error) => State::Silent(std::io::Error::from(error).to_string()),
        };
        // Nobody waits any more when this took too long.
        let _ = sender.send(Answer { state, why });
    });
    receiver
}

fn show(mounted: &Mounted, answer: &Answer) {
    let state = match &answer.state {
        State::Answers => "answers".to_owned(),
        State::Closed => format!("only user {} of this machine can look into it", mounted.user),
        State::Silent(trouble) => format!("does not answer: {trouble}"),
    };
    say!("{}", mounted.point.display());
    say!("  server:  {}", mounted.target.server);
    say!("  user:    {}", mounted.target.uid);
    say!("  state:   {state}");
    if let Some(process) = Registry::of(mounted.user).find(&mounted.point) {
        say!("  process: {}", process.record.pid);
        if let Some(log) = &process.record.log {
            say!("  log:     {}", log.display());
        }
        let now = SystemClock.now();
        for words in ends_in(&process.record.identity).iter().filter_map(|end| end.warning(now)) {
            say!("  ends:    {words}");
        }
    }
    if let Some(why) = &answer.why {
        say!("  refused: {why}");
    }
}
