//! Time as an argument: nothing in 3S reads the machine's clock except through [`Clock`], and no stopwatch but
//! [`monotonic`] (or tokio's, which tests can stop).

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment on the server's clock, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The last moment that RFC 3339 can write: the end of the year 9999.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_000);

    /// This moment moved forward; stops at [`Timestamp::MAX`].
    pub fn after(self, by: Duration) -> Timestamp {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(millis)).min(Timestamp::MAX)
    }

    /// How long from `earlier` to `self`; zero when `self` is not later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC, to the millisecond.
    pub fn precise(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => format!("{at:.3}"),
            Err(_) => self.to_string(),
        }
    }

    /// Milliseconds since the Unix epoch; negative before 1970.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// As file times are kept; stops at the ends of what fits.
    pub fn nanos(self) -> FileTime {
        FileTime(self.0.saturating_mul(1_000_000))
    }
}

/// A file's time: nanoseconds since the Unix epoch, negative before 1970; from the year 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub struct FileTime(pub i64);

/// RFC 3339 in UTC with whole seconds, rounded down: reading a grant and writing it back never extends it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0.div_euclid(1000)) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "@{}ms", self.0),
        }
    }
}

/// An RFC 3339 time with any offset.
impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at: jiff::Timestamp = text.parse()?;
        Ok(Timestamp(at.as_millisecond()))
    }
}

/// Where the time comes from; tests hand in one that they move.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// The present moment by what stamps files on this machine, and by which other processes go.
    fn of_machine(&self) -> Timestamp {
        self.now()
    }

    /// The same as contents are stamped; as fine as the clock is.
    fn now_ns(&self) -> FileTime {
        self.now().nanos()
    }
}

/// The machine's real-time clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    fn since_epoch() -> Duration {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(SystemClock::since_epoch().as_millis()).unwrap_or(i64::MAX))
    }

    fn now_ns(&self) -> FileTime {
        FileTime(i64::try_from(SystemClock::since_epoch().as_nanos()).unwrap_or(i64::MAX))
    }
}

/// The present moment of the clock that never jumps: for how long something takes or may take at this end. What a right
/// or a certificate depends on is asked of a [`Clock`].
pub fn monotonic() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    Instant::now()
}

/// A clock that a test moves by hand.
#[derive(Debug, Default)]
pub struct ManualClock(std::sync::atomic::AtomicI64);

impl ManualClock {
    /// A clock that stands at `at`.
    pub fn at(at: Timestamp) -> Self {
        ManualClock(at.0.into())
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(millis, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_whole_seconds_rounded_down() {
        assert_eq!(Timestamp(1_795_273_445_999).to_string(), "2026-11-21T15:04:05Z");
    }

    #[test]
    fn reading_back_what_was_shown_is_never_later() {
        for millis in [0, 1, 999, 1000, 1_795_273_445_123] {
            let shown: Timestamp = Timestamp(millis).to_string().parse().unwrap();
            assert!(shown <= Timestamp(millis));
        }
    }

    #[test]
    fn precise_times_lose_nothing() {
        assert_eq!(Timestamp(1_795_273_445_000).precise(), "2026-11-21T15:04:05.000Z");
        for millis in [-1, 0, 1_795_273_445_123, 253_000_000_000_001] {
            assert_eq!(Timestamp(millis).precise().parse::<Timestamp>().unwrap(), Timestamp(millis));
        }
    }

    #[test]
    fn offsets_are_understood() {
        let a: Timestamp = "2026-11-22T16:04:05+01:00".parse().unwrap();
        let b: Timestamp = "2026-11-22T15:04:05Z".parse().unwrap();
        assert_eq!(a, b);
    }

    #[test]
    fn moving_forward_stops_at_the_end_of_time() {
        assert_eq!(Timestamp(0).after(Duration::MAX), Timestamp::MAX);
    }

    #[test]
    fn nanoseconds_stop_at_the_end_of_what_fits() {
        assert_eq!(Timestamp(-3).nanos(), FileTime(-3_000_000));
        assert_eq!(
            (Timestamp::MAX.nanos(), Timestamp(i64::MIN).nanos()),
            (FileTime(i64::MAX), FileTime(i64::MIN))
        );
    }
}
