//! A running mount's identity: renewed certificates and newer revocation lists are taken up, and what ends is told in time.
//!
//! The files are looked at every few seconds. Changed ones are read and checked like those of a new mount, and more: the
//! certificate must be of the same node, with its key, and, where no other certificate stands between the two, by an authority of `ca.crt`. What does not pass (a certificate whose key
//! is still to come) is not used: the mount goes on with what it has, says so once, and looks again.
//!
//! After each login, and when the server says so, it is asked for its revocation lists. Newer ones count for new connections
//! and are kept in the folder, for the next mount; where that cannot be written, for this mount only.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use sss_common::durable::{self, Access};
use sss_common::ends::Told;
use sss_common::wire::Empty;
use sss_common::{Advised, Clock};

use crate::identity::{Identity, Lists, Stamp};
use crate::remote::Calls;
use crate::remote::https::Https;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Keeps the identity of a mount in force, for as long as this is awaited.
pub async fn follow(https: Arc<Https>, identity: Identity, clock: Arc<dyn Clock>) {
    let mut followed = Followed { https, identity, clock, refused: None };
    let mut told = Told::default();
    loop {
        for words in told.due(&followed.identity.ends(), followed.clock.now()) {
            tracing::warn!("{words}");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => followed.look().await,
            () = followed.https.revocations_may_differ() => followed.ask().await,
        }
    }
}

struct Followed {
    https: Arc<Https>,
    /// What the mount goes on with.
    identity: Identity,
    clock: Arc<dyn Clock>,
    /// Files that were not used, and were told of.
    refused: Option<Stamp>,
}

impl Followed {
    /// Takes up what is new in the folder.
    async fn look(&mut self) {
        let stamp = Stamp::of(&self.identity.dir);
        if stamp == self.identity.stamp {
            self.refused = None;
            return;
        }
        let (dir, clock) = (self.identity.dir.clone(), self.clock.clone());
        let read = tokio::task::spawn_blocking(move || Identity::load(&dir, clock.as_ref())).await;
        let Ok(read) = read else { return };
        match read.and_then(|renewed| self.take_up(renewed)) {
            Ok(()) => self.refused = None,
            Err(failure) if self.refused.as_ref() != Some(&stamp) => {
                let Advised { what, hint } = failure;
                tracing::warn!(
                    "the renewed identity is not used, the mount goes on with the one it has: {what}; {hint}"
                );
                self.refused = Some(stamp);
            }
            Err(_) => {}
        }
    }

    fn take_up(&mut self, renewed: Identity) -> Result<(), Advised> {
        renewed.check_issuer()?;
        // An older list than the one that is in force does not take its place.
        let lists = renewed.lists.and_newer_of(&self.identity.lists, &renewed.roots);
        let renewed = renewed.with_lists(lists);
        self.https.renew(&renewed)?;
        let before = std::mem::replace(&mut self.identity, renewed);
        let now = &self.identity;
        if before.chain != now.chain || before.roots != now.roots {
            tracing::info!("the identity was renewed; the mount goes on with it");
        } else if before.lists != now.lists {
            tracing::info!("a newer revocation list is in force");
        }
        Ok(())
    }

    /// Takes up what the server has newer.
    async fn ask(&mut self) {
        let given = match self.https.revocations(Empty {}).await {
            Ok(given) => given.lists.into_iter().map(|list| list.0).collect(),
            // The next login asks again; an older server has no such call.
            Err(error) => return tracing::info!(%error, "no revocation lists were handed over"),
        };
        let Some(lists) = self.identity.lists.with_newer(given, &self.identity.roots) else { return };
        if let Err(Advised { what, hint }) = self.take_up(self.identity.with_lists(lists.clone())) {
            return tracing::warn!("the server's revocation list is not used: {what}; {hint}");
        }
        let path = self.identity.dir.join("ca.crl");
        let roots = self.identity.roots.clone();
        let kept = tokio::task::spawn_blocking(move || keep(&path, &lists, &roots)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!("the newer revocation list counts for this mount only: {error}");
        }
    }
}

/// What somebody else put there meanwhile stays, where it is newer.
fn keep(path: &Path, lists: &Lists, roots: &[CertificateDer<'_>]) -> durable::Result<()> {
    let there = Lists::load(path, roots).unwrap_or_default();
    durable::replace(path, lists.and_newer_of(&there, roots).to_pem().as_bytes(), Access::Public)
}
