//! Where the programs under test are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The programs that a store needs.
pub const PROGRAMS: [&str; 3] = ["3s", "3s-ca", "3s-server"];

/// Says where the programs are; nothing is built then.
pub const BIN_DIR: &str = "SSS_BIN_DIR";

/// The workspace's root.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

/// One of [`PROGRAMS`], built from the present sources.
pub fn program(name: &str) -> PathBuf {
    folder().join(name)
}

/// The folder with all of [`PROGRAMS`]. The first call in a process lets cargo bring them up to date, which is
/// where a plain `cargo test` gets them from; cargo's own lock keeps test processes apart.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = match std::env::var_os(BIN_DIR) {
            Some(folder) => folder.into(),
            None => build(),
        };
        for name in PROGRAMS {
            let path = folder.join(name);
            assert!(path.is_file(), "{} is not there; `cargo build --workspace` makes it", path.display());
        }
        folder
    })
}

fn build() -> PathBuf {
    let folder = own_folder();
    let target = folder.parent().expect("a profile's folder lies in the target folder");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(name) => name,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--workspace", "--bins", "--profile", profile]);
    if profile == "dev" {
        // A test target in the selection makes cargo choose the features of dependencies as `cargo test --workspace`
        // does: otherwise both would build every dependency in turn.
        cargo.args(["--test", "layering"]);
    }
    let status = cargo
        .arg("--target-dir")
        .arg(target)
        .current_dir(workspace())
        .status()
        .unwrap_or_else(|e| panic!("cargo cannot be started: {e}"));
    assert!(status.success(), "the programs under test could not be built");
    folder
}

/// `target/debug`, seen from `target/debug/deps/some_test` or `target/debug/some_program`.
fn own_folder() -> PathBuf {
    let exe = std::env::current_exe().expect("a process knows its program");
    let parent = exe.parent().expect("a program lies in a folder");
    match parent.file_name().and_then(|name| name.to_str()) {
        Some("deps") => parent.parent().expect("deps lies in a profile's folder").into(),
        _ => parent.into(),
    }
}
