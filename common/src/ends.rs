//! What ends, told in time: certificates, and the day by which the next revocation list is due.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::Timestamp;

/// How many days before its end something is told of, each once; and once when it is over.
const DAYS: [u64; 4] = [30, 7, 1, 0];

/// The end of what a file holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// The file.
    pub path: PathBuf,
    /// When.
    pub at: Timestamp,
    /// What to do.
    pub advice: &'static str,
}

impl End {
    /// Words for a person, from 30 days before the end on.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        stage(self.at, now).map(|_| in_words(self, now))
    }
}

/// What was told already: of each end, the last of 30, 7, 1 and 0 days before it.
#[derive(Default)]
pub struct Told(BTreeMap<End, u64>);

impl Told {
    /// What is to be told now. What is not among `ends` any more is forgotten.
    pub fn due(&mut self, ends: &[End], now: Timestamp) -> Vec<String> {
        self.0.retain(|end, _| ends.contains(end));
        let mut words = Vec::new();
        for end in ends {
            let Some(days) = stage(end.at, now) else { continue };
            if self.0.insert(end.clone(), days) != Some(days) {
                words.push(in_words(end, now));
            }
        }
        words
    }
}

/// The last of [`DAYS`] that has come.
fn stage(end: Timestamp, now: Timestamp) -> Option<u64> {
    let come = |days: &u64| now.after(Duration::from_secs(days * 24 * 3600)) >= end;
    DAYS.into_iter().filter(come).min()
}

fn in_words(end: &End, now: Timestamp) -> String {
    let (path, at, advice) = (end.path.display(), end.at, end.advice);
    match end.at.since(now).as_secs().div_ceil(24 * 3600) {
        0 => format!("{path} ended at {at}; {advice}"),
        1 => format!("{path} ends within a day, at {at}; {advice}"),
        days => format!("{path} ends in {days} days, at {at}; {advice}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;

    fn end(day: i64) -> End {
        End { path: "server.crt".into(), at: Timestamp(day * DAY), advice: "renew it" }
    }

    #[test]
    fn each_end_is_told_30_7_and_1_days_before_and_when_it_has_come() {
        let (mut told, mut heard) = (Told::default(), Vec::new());
        // Each hour of 100 days.
        for hour in 0..100 * 24 {
            let now = Timestamp(hour * 3600 * 1000);
            heard.extend(told.due(&[end(90)], now).into_iter().map(|words| (hour, words)));
        }
        let hours: Vec<_> = heard.iter().map(|(hour, _)| *hour).collect();
        assert_eq!(hours, [60 * 24, 83 * 24, 89 * 24, 90 * 24]);
        assert_eq!(heard[0].1, "server.crt ends in 30 days, at 1970-04-01T00:00:00Z; renew it");
        assert_eq!(heard[2].1, "server.crt ends within a day, at 1970-04-01T00:00:00Z; renew it");
        assert_eq!(heard[3].1, "server.crt ended at 1970-04-01T00:00:00Z; renew it");
    }

    #[test]
    fn what_was_renewed_is_told_of_anew() {
        let mut told = Told::default();
        assert_eq!(told.due(&[end(5)], Timestamp(0)).len(), 1, "late, but told");
        assert!(told.due(&[end(95)], Timestamp(0)).is_empty());
        assert_eq!(told.due(&[end(95)], Timestamp(65 * DAY)).len(), 1);
        assert_eq!(told.due(&[end(95), end(66)], Timestamp(65 * DAY)).len(), 1);
        assert_eq!(told.due(&[end(95), end(66)], Timestamp(65 * DAY)).len(), 0);
    }
}
