//! Who stops reading ends a command quietly.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

#[test]
fn who_stops_reading_ends_a_command_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    for args in [vec!["init", data], vec!["clock", data], vec!["audit", data], vec!["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_3s-server"));
        let done = command.args(&args).stdin(Stdio::null()).stdout(writer).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&done.stderr), "", "{args:?}");
        assert_eq!(done.status.code(), Some(0), "{args:?}");
    }
}
