//! `3s-ca`: reads the command line, prints what happened.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sss_certs::cli::Cli;
use sss_common::{Clock, SystemClock};

fn main() -> ExitCode {
    match Cli::parse().run(SystemClock.now()) {
        Ok(report) => {
            // Who closed the pipe has read enough.
            let _ = std::io::stdout().write_all(report.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("3s-ca: {}", error.advised());
            ExitCode::FAILURE
        }
    }
}
