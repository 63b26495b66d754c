//! `make bench`: workloads of users, interleaved over the systems, best of the rounds, ratios within one run.
//!
//! Only the ratios mean something on another machine. "Cold" is after a remount (for the plain folder: after the
//! kernel dropped the file's pages); the server's own cache is warm throughout, for every system alike.

mod systems;
mod workloads;

use std::collections::BTreeMap;
use std::time::Duration;

use systems::{System, all_systems};
use workloads::{Inputs, WORKLOADS};

const USAGE: &str = "usage: 3s-bench [--rounds N] [--size MIB] [--files N]
  --rounds N   rounds, of which the best counts (3; 1 to 20)
  --size MIB   the large file (1024; 1 to 16384)
  --files N    small files of 4 KiB (2000; 1 to 100000)
example: 3s-bench --rounds 1 --size 256";

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Rounds, of which the best counts.
    pub rounds: u64,
    /// MiB of the large file.
    pub size: u64,
    /// Number of small files.
    pub files: u64,
}

impl Options {
    /// From the command line.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options { rounds: 3, size: 1024, files: 2000 };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let (place, most) = match name.as_str() {
                "--rounds" => (&mut options.rounds, 20),
                "--size" => (&mut options.size, 16 * 1024),
                "--files" => (&mut options.files, 100_000),
                _ => return Err(format!("`{name}` is no option\n{USAGE}")),
            };
            let value =
                arguments.next().and_then(|text| text.parse().ok()).filter(|n| (1..=most).contains(n));
            *place = value.ok_or_else(|| format!("{name} takes a number from 1 to {most}\n{USAGE}"))?;
        }
        Ok(options)
    }
}

/// The program: measures and prints a table.
pub fn main(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let options = Options::parse(arguments)?;
    let scratch = tempfile::Builder::new().prefix("3s-bench-").tempdir().map_err(|e| e.to_string())?;
    check_room(scratch.path(), options)?;
    let inputs = Inputs::make(scratch.path(), options);
    let (mut systems, absent) = all_systems(scratch.path());
    let mut best: BTreeMap<(usize, usize), Duration> = BTreeMap::new();
    for round in 1..=options.rounds {
        for (column, system) in systems.iter_mut().enumerate() {
            eprintln!("round {round} of {}: {}", options.rounds, system.name());
            for (row, workload) in WORKLOADS.iter().enumerate() {
                if workload.cold {
                    system.go_cold();
                }
                // Nobody pays for what another left to be written.
                rustix::fs::sync();
                let took = (workload.run)(system.root(), &inputs);
                let slot = best.entry((row, column)).or_insert(took);
                *slot = took.min(*slot);
            }
        }
    }
    print!("{}", table(&systems, &best, options));
    absent.iter().for_each(|why| println!("{why}"));
    Ok(())
}

/// Every system keeps the large file once, and ours and the scratch folder once more for a moment.
fn check_room(scratch: &std::path::Path, options: Options) -> Result<(), String> {
    let stat = rustix::fs::statvfs(scratch).map_err(|e| e.to_string())?;
    let free = (stat.f_bavail * stat.f_frsize) >> 20;
    let needed = options.size * 6 + options.files / 16 + 256;
    if free < needed {
        return Err(format!(
            "{needed} MiB are needed in {} and {free} are free\n  hint: set TMPDIR to a larger disk, or use --size",
            scratch.display()
        ));
    }
    Ok(())
}

fn table(systems: &[Box<dyn System>], best: &BTreeMap<(usize, usize), Duration>, options: Options) -> String {
    let mut lines = vec![format!(
        "best of {} rounds; {} MiB, {} files of 4 KiB; in brackets the speed against the plain folder",
        options.rounds, options.size, options.files
    )];
    let mut head = format!("{:<34}", "");
    systems.iter().for_each(|system| head.push_str(&format!("{:>24}", system.name())));
    lines.push(head);
    for (row, workload) in WORKLOADS.iter().enumerate() {
        let mut line = format!("{:<34}", workload.name);
        for column in 0..systems.len() {
            let (took, local) = (best[&(row, column)].as_secs_f64(), best[&(row, 0)].as_secs_f64());
            let amount = (workload.amount)(options);
            let shown = format!("{:.0} {} ({:.2} x)", amount / took, workload.unit, local / took);
            line.push_str(&format!("{shown:>24}"));
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(text.split_whitespace().map(String::from))
    }

    #[test]
    fn options_are_bounded() {
        assert_eq!(parse(""), Ok(Options { rounds: 3, size: 1024, files: 2000 }));
        assert_eq!(parse("--rounds 1 --size 256 --files 9"), Ok(Options { rounds: 1, size: 256, files: 9 }));
        for bad in
            ["--rounds", "--rounds 0", "--rounds 21", "--size 16385", "--files -1", "--files x", "--colour"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
