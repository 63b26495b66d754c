//! `man DIR`: writes the man pages of the three programs to `DIR/man` and their completions for bash, zsh and fish to
//! `DIR/completions`. An example, so that the programs themselves carry none of it; `make man` runs it.

mod pages;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: man DIR");
        return ExitCode::from(2);
    };
    match pages::write(&dir) {
        Ok(()) => {
            println!("man pages are in {0}/man, completions in {0}/completions", dir.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("man: {}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}
