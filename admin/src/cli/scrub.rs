//! `3s-server scrub`: reads all that is kept and reports what does not verify. What it finds goes to stdout, a bar to the
//! terminal.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use sss_common::clock::monotonic;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::owner::Owner;
use crate::scrub::{Damage, Rate, Scrub, Scrubbed, Walk, Watch};
use sss_server::config::Size;
use sss_server::run::compose;

const WAY_ON: &str =
    "put each of them back from a copy, or delete it; the audit log has them too, under the action scrub";

/// The slowest: a block in a second.
const RATE_MIN: u64 = 64 * 1024;

pub(super) const EXAMPLES: &str = "Examples:
  3s-server scrub /var/lib/3s
  3s-server scrub /var/lib/3s --keyring /media/usb/keyring --rate 20MiB

Prints a line for each damaged version and ends with 1 if there is one, or if it could not do its work.";

#[derive(Debug, Args)]
pub(super) struct ScrubArgs {
    /// The data directory.
    data_dir: PathBuf,
    /// The keyring, where it is not in DATA_DIR. It is only read.
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Read at most so much in a second, as in 20MiB; 64KiB or more.
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    rate: Option<NonZeroU64>,
}

fn rate(text: &str) -> Result<NonZeroU64, String> {
    let Size(bytes) = text.parse()?;
    let rate = NonZeroU64::new(bytes).filter(|_| bytes >= RATE_MIN);
    rate.ok_or_else(|| format!("at least {} in a second", Size(RATE_MIN)))
}

impl ScrubArgs {
    /// Does what the command line says.
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let ScrubArgs { data_dir, keyring, rate } = self;
        Owner::become_of(&data_dir)?;
        let started = monotonic();
        let screen = Screen(ProgressBar::hidden());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let scrubbed = runtime.block_on(async {
            let store = compose::open_beside(&data_dir, keyring)?;
            let rate = rate.map_or_else(Rate::unlimited, Rate::limited);
            Scrub::of(store, rate).await?.run(&screen).await
        });
        screen.0.finish_and_clear();
        let scrubbed = scrubbed?;
        writeln!(io::stdout(), "{}", summary(&scrubbed, started.elapsed()))
            .context("the summary cannot be written out")?;
        match damage(&scrubbed) {
            None => Ok(()),
            Some(damage) => bail!("{damage}\n{WAY_ON}"),
        }
    }
}

/// The lines on stdout and the bar on stderr; there is no bar where stderr is no terminal.
struct Screen(ProgressBar);

impl Watch for Screen {
    fn begins(&self, walk: Walk, of: u64) {
        let style = match walk {
            Walk::Versions => "records {wide_bar} {human_pos}/{human_len}, {eta} left",
            Walk::Packs => "packs {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
        };
        self.0.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        self.0
            .set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.0.reset();
        self.0.set_length(of);
    }

    fn advanced(&self, by: u64) {
        self.0.inc(by);
    }

    fn damaged(&self, damage: &Damage) -> io::Result<()> {
        self.0.suspend(|| writeln!(io::stdout(), "damaged: {damage}"))
    }
}

fn summary(scrubbed: &Scrubbed, took: Duration) -> String {
    let Scrubbed { documents, versions, packs, bytes, unread, orphans, .. } = *scrubbed;
    let mut line = format!(
        "scrubbed {}, {}, {}, {} in {}: {}",
        count(documents, "document"),
        count(versions, "version"),
        count(packs, "pack"),
        size(bytes),
        time(took),
        damage(scrubbed).unwrap_or_else(|| "no damage".into()),
    );
    if unread > 0 {
        line += &format!(", {} with damage that no version reads", count(unread, "pack"));
    }
    if orphans > 0 {
        line += &format!(", {}", count(orphans, "orphan pack"));
    }
    line
}

/// How much is damaged, if anything is.
fn damage(scrubbed: &Scrubbed) -> Option<String> {
    let versions = scrubbed.damaged.len() as u64;
    let mut documents: Vec<_> = scrubbed.damaged.iter().map(|(document, _)| document).collect();
    documents.dedup();
    let of = count(documents.len() as u64, "document");
    (versions > 0).then(|| format!("{} of {of}", count(versions, "damaged version")))
}

fn count(number: u64, of: &str) -> String {
    format!("{} {of}{}", HumanCount(number), if number == 1 { "" } else { "s" })
}

fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => count(bytes, "byte"),
    }
}

fn time(took: Duration) -> String {
    match took.as_secs() {
        0 => format!("{:.1} s", took.as_secs_f64()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sss_common::{NodeId, Version};

    use super::*;

    #[test]
    fn the_summary_says_it_in_one_line() {
        let mut scrubbed = Scrubbed {
            documents: 1204,
            versions: 1311,
            packs: 1290,
            bytes: 3_435_973_837,
            ..Scrubbed::default()
        };
        let took = Duration::from_secs(41);
        let clean = "scrubbed 1,204 documents, 1,311 versions, 1,290 packs, 3.2 GiB in 41 s: no damage";
        assert_eq!(summary(&scrubbed, took), clean);
        assert_eq!(damage(&scrubbed), None);
        scrubbed.orphans = 3;
        assert_eq!(summary(&scrubbed, took), format!("{clean}, 3 orphan packs"));
        scrubbed.unread = 1;
        let both = format!("{clean}, 1 pack with damage that no version reads, 3 orphan packs");
        assert_eq!(summary(&scrubbed, took), both);

        let (one, other) = (NodeId([1; 16]), NodeId([2; 16]));
        let mut small = Scrubbed { documents: 1, versions: 2, packs: 1, bytes: 1, ..Scrubbed::default() };
        small.damaged.extend([(one, Version(1)), (one, Version(2))]);
        let words =
            "scrubbed 1 document, 2 versions, 1 pack, 1 byte in 0.0 s: 2 damaged versions of 1 document";
        assert_eq!(summary(&small, Duration::ZERO), words);
        small.damaged.insert((other, Version(1)));
        assert_eq!(damage(&small).unwrap(), "3 damaged versions of 2 documents");
        small.damaged.clear();
        small.damaged.insert((other, Version(1)));
        assert_eq!(damage(&small).unwrap(), "1 damaged version of 1 document");
    }

    #[test]
    fn sizes_and_times_are_for_people() {
        for (bytes, shown) in [(0, "0 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
        {
            assert_eq!(size(bytes), shown);
        }
        for (seconds, shown) in [(0.25, "0.2 s"), (119.0, "119 s"), (120.0, "2 min"), (7300.0, "2 h 1 min")] {
            assert_eq!(time(Duration::from_secs_f64(seconds)), shown);
        }
    }

    #[test]
    fn a_rate_has_a_least() {
        assert_eq!(rate("20MiB").unwrap().get(), 20 << 20);
        assert_eq!(rate("64KiB").unwrap().get(), RATE_MIN);
        for (text, word) in [("65535", "64KiB"), ("0", "64KiB"), ("20MB", "64MiB"), ("", "64MiB")] {
            assert!(rate(text).unwrap_err().contains(word), "{text}");
        }
    }
}
