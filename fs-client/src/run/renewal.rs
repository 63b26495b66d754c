//! A renewed identity is taken up by a running mount.
//!
//! The files are looked at every few seconds. Changed ones are read and checked like those of a new mount, and more: the
//! certificate must be of the same node, by an authority of `ca.crt`, with its key. What does not pass (a certificate whose key
//! is still to come) is not used: the mount goes on with what it has, says so once, and looks again.

use std::sync::Arc;
use std::time::Duration;

use sss_common::{Advised, Clock};

use crate::identity::{Identity, Stamp};
use crate::remote::https::Https;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Takes up what is renewed in the folder of `identity`, for as long as this is awaited.
pub async fn follow(https: Arc<Https>, mut identity: Arc<Identity>, clock: Arc<dyn Clock>) {
    let mut refused: Option<Stamp> = None;
    loop {
        tokio::time::sleep(EVERY).await;
        let stamp = Stamp::of(&identity.dir);
        if stamp == identity.stamp {
            refused = None;
            continue;
        }
        let (dir, now) = (identity.dir.clone(), clock.clone());
        let read = tokio::task::spawn_blocking(move || Identity::load(&dir, now.as_ref())).await;
        let Ok(read) = read else { continue };
        match read.and_then(|renewed| take_up(&https, renewed)) {
            Ok(renewed) => {
                tracing::info!(ends = %renewed.ends, "the identity was renewed; the mount goes on with it");
                identity = Arc::new(renewed);
                refused = None;
            }
            Err(failure) if refused.as_ref() != Some(&stamp) => {
                let Advised { what, hint } = failure;
                tracing::warn!(
                    "the renewed identity is not used, the mount goes on with the one it has: {what}; {hint}"
                );
                refused = Some(stamp);
            }
            Err(_) => {}
        }
    }
}

fn take_up(https: &Https, renewed: Identity) -> Result<Identity, Advised> {
    renewed.check_issuer()?;
    https.renew(&renewed)?;
    Ok(renewed)
}
