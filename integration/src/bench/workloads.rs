//! What users do, timed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Options;
use crate::command::{Cmd, bash};
use crate::noise;

/// A single command may take this long; a bench ends.
const DEADLINE: Duration = Duration::from_secs(900);

/// What is copied in.
pub struct Inputs {
    large: PathBuf,
    small: PathBuf,
}

impl Inputs {
    /// Writes them into a scratch folder, once.
    pub fn make(scratch: &Path, options: Options) -> Self {
        let inputs = Inputs { large: scratch.join("large"), small: scratch.join("small") };
        let mib = noise(1 << 20, 1);
        let mut file = fs::File::create(&inputs.large).expect("the scratch folder is ours");
        for i in 0..options.size {
            let mut part = mib.clone();
            // No two MiB are alike, in case a system looks for that.
            part[..8].copy_from_slice(&i.to_le_bytes());
            std::io::Write::write_all(&mut file, &part).expect("there is room: it was checked");
        }
        for i in 0..options.files {
            let dir = inputs.small.join((i / 100).to_string());
            fs::create_dir_all(&dir).expect("the scratch folder is ours");
            fs::write(dir.join(i.to_string()), noise(4096, i + 2)).expect("there is room: it was checked");
        }
        inputs
    }
}

/// One line of the table.
pub struct Workload {
    /// What it is called.
    pub name: &'static str,
    /// Whether it begins without anything cached on the client.
    pub cold: bool,
    /// Does it in a system's folder; workloads build on those before them.
    pub run: fn(&Path, &Inputs) -> Duration,
    /// How much of `unit` it does.
    pub amount: fn(Options) -> f64,
    /// Of what, for each second.
    pub unit: &'static str,
}

/// In the order in which they run in each round.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "write, dd bs=1M conv=fsync", cold: true, run: write, amount: megabytes, unit: "MB/s" },
    Workload { name: "read, cold", cold: true, run: read, amount: megabytes, unit: "MB/s" },
    Workload { name: "read again", cold: false, run: read, amount: megabytes, unit: "MB/s" },
    Workload { name: "cp -r of small files", cold: true, run: copy, amount: files, unit: "files/s" },
    Workload { name: "ls -lR, cold", cold: true, run: list, amount: files, unit: "files/s" },
    Workload { name: "ls -lR again", cold: false, run: list, amount: files, unit: "files/s" },
    Workload { name: "tar c, cold", cold: true, run: tar, amount: files, unit: "files/s" },
    Workload { name: "rm -rf", cold: false, run: remove, amount: files, unit: "files/s" },
];

fn megabytes(options: Options) -> f64 {
    (options.size << 20) as f64 / 1e6
}

fn files(options: Options) -> f64 {
    options.files as f64
}

fn timed(cmd: Cmd) -> Duration {
    let start = Instant::now();
    cmd.within(DEADLINE).ok();
    start.elapsed()
}

fn write(root: &Path, inputs: &Inputs) -> Duration {
    // Overwriting last round's file would measure something else.
    let _ = fs::remove_file(root.join("large"));
    let of = format!("of={}", root.join("large").display());
    timed(Cmd::new("dd").arg(format!("if={}", inputs.large.display())).arg(of).args(["bs=1M", "conv=fsync"]))
}

fn read(root: &Path, _: &Inputs) -> Duration {
    timed(Cmd::new("dd").arg(format!("if={}", root.join("large").display())).args(["of=/dev/null", "bs=1M"]))
}

fn copy(root: &Path, inputs: &Inputs) -> Duration {
    timed(Cmd::new("cp").arg("-r").arg(&inputs.small).arg(root.join("small")))
}

fn list(root: &Path, _: &Inputs) -> Duration {
    timed(bash("ls -lR small > /dev/null").cwd(root))
}

fn tar(root: &Path, _: &Inputs) -> Duration {
    // Into a pipe: tar does not read the files when it sees /dev/null.
    timed(bash("tar cf - small | cat > /dev/null").cwd(root))
}

fn remove(root: &Path, _: &Inputs) -> Duration {
    timed(Cmd::new("rm").arg("-rf").arg(root.join("small")))
}
