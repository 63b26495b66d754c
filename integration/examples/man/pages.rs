//! Man pages and completions from the programs' clap types.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

/// The programs' command lines, without the commands that are hidden.
pub fn programs() -> [Command; 3] {
    [sss_fs_client::cli::Cli::command(), sss_certs::cli::Cli::command(), sss_admin::cli::Cli::command()]
}

/// Writes a page for each program and command to `dir/man` and the completions to `dir/completions`.
pub fn write(dir: &Path) -> io::Result<()> {
    let (man, completions) = (dir.join("man"), dir.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    for mut program in programs() {
        clap_mangen::generate_to(program.clone(), &man)?;
        let name = program.get_name().to_owned();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut program, &name, &completions)?;
        }
    }
    Ok(())
}
