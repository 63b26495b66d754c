//! How many bytes are read in a second, where that has a limit.

use std::num::NonZeroU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// A limit on what is read, or none. Each reading waits until those before it are paid for, so none of them comes early and
/// what was not used is not saved up.
pub struct Rate {
    per_second: Option<NonZeroU64>,
    paid: Mutex<Option<Instant>>,
}

impl Rate {
    /// As fast as the disk gives.
    pub fn unlimited() -> Self {
        Rate { per_second: None, paid: Mutex::new(None) }
    }

    /// At most so many bytes in a second.
    pub fn limited(per_second: NonZeroU64) -> Self {
        Rate { per_second: Some(per_second), paid: Mutex::new(None) }
    }

    /// Returns when so many bytes may be read.
    pub async fn take(&self, bytes: u64) {
        let Some(rate) = self.per_second else { return };
        let begin = {
            let mut paid = self.paid.lock();
            let now = Instant::now();
            let begin = paid.map_or(now, |paid| paid.max(now));
            *paid = Some(begin + cost(bytes, rate));
            begin
        };
        sleep_until(begin).await;
    }
}

fn cost(bytes: u64, per_second: NonZeroU64) -> Duration {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(per_second.get());
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MIB: u64 = 1 << 20;

    fn limited(bytes: u64) -> Rate {
        Rate::limited(NonZeroU64::new(bytes).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_keeps_to_the_rate() {
        let (rate, start) = (limited(20 * MIB), Instant::now());
        for _ in 0..100 {
            rate.take(MIB).await;
        }
        // The hundredth begins when 99 MiB are paid for.
        let seconds = start.elapsed().as_secs_f64();
        assert!((4.95..4.96).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_not_saved_up() {
        let rate = limited(MIB);
        rate.take(MIB).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        rate.take(MIB).await;
        assert!(start.elapsed() < Duration::from_millis(2), "the minute paid for what came before it");
        rate.take(1).await;
        assert!(start.elapsed() >= Duration::from_secs(1), "and for nothing after");
    }

    #[tokio::test(start_paused = true)]
    async fn readings_at_once_share_the_rate() {
        let (rate, start) = (limited(MIB), Instant::now());
        tokio::join!(rate.take(MIB), rate.take(MIB), rate.take(MIB));
        assert!(start.elapsed() >= Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let (rate, start) = (Rate::unlimited(), Instant::now());
        rate.take(u64::MAX).await;
        rate.take(u64::MAX).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
