//! Numbers in ascending order as people write them: `1-3,7`.

use std::fmt;
use std::str::FromStr;

/// A set of numbers. Kept as runs, so that a short text never becomes a long list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers(Vec<(u64, u64)>);

impl Numbers {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> u128 {
        self.0.iter().map(|(first, last)| u128::from(last - first) + 1).sum()
    }

    /// The runs: first and last number of each, ascending, with a gap before the next.
    pub fn runs(&self) -> &[(u64, u64)] {
        &self.0
    }
}

impl FromIterator<u64> for Numbers {
    /// In any order; a number that comes again counts once.
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut sorted: Vec<u64> = numbers.into_iter().collect();
        sorted.sort_unstable();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for number in sorted {
            match runs.last_mut() {
                Some((_, last)) if number - *last <= 1 => *last = number,
                _ => runs.push((number, number)),
            }
        }
        Numbers(runs)
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str(super::NONE);
        }
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// The text is no list of numbers in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("numbers are written like 1-3,7")]
pub struct NoNumbers;

impl FromStr for Numbers {
    type Err = NoNumbers;

    /// Refuses what could be written shorter: numbers out of order, and runs that touch.
    fn from_str(text: &str) -> Result<Self, NoNumbers> {
        if text == super::NONE {
            return Ok(Numbers::default());
        }
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for part in text.split(',') {
            let run = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            let ascends = part.contains('-') == (run.0 < run.1);
            let apart = runs.last().is_none_or(|before| run.0 > before.1 && run.0 - before.1 > 1);
            if !ascends || !apart {
                return Err(NoNumbers);
            }
            runs.push(run);
        }
        Ok(Numbers(runs))
    }
}

/// Digits, without a sign and without a zero in front.
fn number(text: &str) -> Result<u64, NoNumbers> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(NoNumbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_spelling() {
        let print = |numbers: &[u64]| numbers.iter().copied().collect::<Numbers>().to_string();
        assert_eq!(print(&[]), "none");
        assert_eq!(print(&[0]), "0");
        assert_eq!(print(&[7, 2, 3, 1, 3]), "1-3,7");
        assert_eq!(print(&[u64::MAX - 1, u64::MAX, 0]), format!("0,{}-{}", u64::MAX - 1, u64::MAX));
        for bad in [
            "",
            "-",
            ",",
            "1,",
            ",1",
            "1-",
            "-1",
            "2,1",
            "1,1",
            "1,2",
            "1-2,3",
            "1-1",
            "3-1",
            "01",
            "+1",
            "1 ",
            " 1",
            "1--2",
            "1-2-3",
            "0x1",
            "None",
            "18446744073709551616",
        ] {
            assert_eq!(bad.parse::<Numbers>(), Err(NoNumbers), "{bad}");
        }
    }

    #[test]
    fn a_short_text_is_a_short_list() {
        let all: Numbers = format!("0-{}", u64::MAX).parse().unwrap();
        assert_eq!(all.runs().len(), 1);
        assert_eq!(all.count(), 1 << 64);
    }

    proptest! {
        #[test]
        fn printing_and_parsing_is_the_identity(numbers in proptest::collection::btree_set(0u64..60, 0..40)) {
            let made: Numbers = numbers.iter().copied().collect();
            prop_assert_eq!(made.count(), numbers.len() as u128);
            prop_assert_eq!(made.to_string().parse::<Numbers>(), Ok(made));
        }

        #[test]
        fn what_parses_prints_as_it_was(text in "[0-9,-]{0,12}|none") {
            if let Ok(numbers) = text.parse::<Numbers>() {
                prop_assert_eq!(numbers.to_string(), text);
            }
        }
    }
}
