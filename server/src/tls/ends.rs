//! What ends, told in the log in time: the certificates that a server shows and believes, and the day by which the next CRL is due.

use std::sync::Arc;
use std::time::Duration;

use sss_common::Clock;
use sss_common::ends::Told;
use tokio_util::sync::CancellationToken;

use super::Tls;

/// How often the clock is looked at.
const EVERY: Duration = Duration::from_secs(60);

/// Warns in the log until `stop`, of what is in use: files that were read again count from then on.
pub async fn warn_in_time(tls: Arc<Tls>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut told = Told::default();
    loop {
        for words in told.due(&tls.current().ends, clock.now()) {
            tracing::warn!("{words}");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
