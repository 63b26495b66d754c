//! `3s-ca`: reads the command line, prints what happened.

use std::process::ExitCode;

use clap::Parser;
use sss_certs::cli::Cli;
use sss_common::{Clock, SystemClock, complain, say};

fn main() -> ExitCode {
    match Cli::parse().run(SystemClock.now()) {
        Ok(report) => {
            say!("{}", report.trim_end_matches('\n'));
            if say::failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            complain!("3s-ca: {}", error.advised());
            ExitCode::FAILURE
        }
    }
}
