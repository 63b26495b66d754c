//! 3s-server: see `3s-server --help`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match sss_admin::cli::Cli::parse().execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("3s-server: {}", sss_server::run::advised(&error));
            ExitCode::from(sss_admin::cli::exit_code(&error))
        }
    }
}
