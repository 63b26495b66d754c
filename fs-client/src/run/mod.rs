//! The composition: which command runs what, and how its outcome becomes words and an exit code.
//!
//! `plan` checks what a mount is asked for, `mount` logs in for it and `serving` composes the rooms below
//! into it; `hardening` keeps its memory from others, `renewal` its certificate in force; `daemon` puts it into the background; `registry` is how the commands find the process behind a
//! mount, `mountinfo` how they find the mount. `share`, `rm`, `status`, `unmount`, `recover` and `verify` (with
//! `receipt`) are the other commands; they speak to the mount through system calls, never to the server.

pub mod daemon;
pub mod hardening;
pub mod logging;
pub mod mount;
pub mod mountinfo;
pub mod plan;
pub mod receipt;
pub mod recover;
pub mod registry;
pub mod renewal;
pub mod rm;
mod server_keys;
pub mod serving;
pub mod share;
pub mod status;
pub mod unmount;
pub mod verify;
pub mod xattr;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use sss_common::{Advised, Clock, SystemClock, complain, say};

use crate::cli::{self, Cli, Command, Helper, MountArgs};
use crate::identity::ends_in;

/// Something failed, and stderr says what.
const FAILED: u8 = 1;
/// The command line makes no sense; as clap has it.
const USAGE: u8 = 2;
/// mount(8)'s codes for its helpers.
const HELPER_USAGE: u8 = 1;
const HELPER_FAILED: u8 = 32;

/// Runs the tool. The name it is called by decides whose command line it reads.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let called = args.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    if called == "mount.3s" { as_helper(args) } else { as_tool(args) }
}

fn as_tool(args: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to do when not even this can be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    exit_code(perform(cli.command), FAILED)
}

fn as_helper(args: Vec<OsString>) -> ExitCode {
    match cli::helper(args.into_iter().skip(1)) {
        Ok(Helper::Mount(args)) => exit_code(mount_command(args), HELPER_FAILED),
        Ok(Helper::Fake) => ExitCode::SUCCESS,
        Err(failure) => exit_code(Err(failure), HELPER_USAGE),
    }
}

/// Says on stderr what failed.
fn exit_code(outcome: Result<(), Advised>, code: u8) -> ExitCode {
    match outcome {
        Ok(()) if say::failed() => ExitCode::from(code),
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain!("3s: {failure}");
            ExitCode::from(code)
        }
    }
}

fn perform(command: Command) -> Result<(), Advised> {
    match command {
        Command::Mount(args) => mount_command(args),
        Command::Unmount(args) => unmount::unmount(&args),
        Command::Grant(args) => share::grant(&args),
        Command::Revoke(args) => share::revoke(&args),
        Command::Rm(args) => rm::rm(&args),
        Command::Info(args) => share::info(&args),
        Command::Recover(args) => recover::recover(&args),
        Command::Status(args) => status::status(&args),
        Command::Verify(args) => verify::verify(&args),
    }
}

fn mount_command(args: MountArgs) -> Result<(), Advised> {
    let daemon_child = args.daemon_child;
    let foreground = args.foreground;
    if daemon_child {
        return daemon::run_child(args);
    }
    let plan = plan::Plan::new(args)?;
    match foreground {
        true => {
            logging::to_stderr();
            mount::serve(&plan, |mounted| {
                complain!("3s: {} is mounted on {}; Ctrl-C unmounts", plan.target, mounted.display());
                Ok(())
            })
        }
        false => {
            // The daemon says it in its log.
            let now = SystemClock.now();
            ends_in(&plan.identity)
                .iter()
                .filter_map(|end| end.warning(now))
                .for_each(|words| complain!("3s: {words}"));
            daemon::start(&plan)
        }
    }
}
