//! 3s-server: see `3s-server --help`.

use std::process::ExitCode;

use clap::Parser;
use sss_common::{complain, say};

fn main() -> ExitCode {
    match sss_admin::cli::Cli::parse().execute() {
        Ok(()) if say::failed() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("3s-server: {}", sss_server::run::advised(&error));
            ExitCode::from(sss_admin::cli::exit_code(&error))
        }
    }
}
