//! The tool `3s`; as `mount.3s`, mount(8)'s helper.

use std::process::ExitCode;

fn main() -> ExitCode {
    sss_fs_client::run::main(std::env::args_os())
}
