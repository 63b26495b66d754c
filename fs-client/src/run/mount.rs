//! `3s mount`, from the identity to the logout. Here the concrete types are named; [`serving`] does the rest.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use sss_common::{Advised, Code, SystemClock};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::hardening;
use super::mountinfo;
use super::plan::Plan;
use super::registry::{Claim, Outcome, Record, Registry};
use super::renewal;
use super::serving::{self, Unserved};
use crate::config::Log;
use crate::identity::Identity;
use crate::recovery::{Label, Store, store};
use crate::remote::https::Https;
use crate::remote::{Remote, RemoteError};

/// How long a mount waits for an earlier one's last check-ins.
pub const CLAIM_WAIT: Duration = Duration::from_secs(60);

/// Mounts, serves until the mount ends, checks in what is left and logs out. `ready` is told when the mount
/// answers.
pub fn serve(plan: &Plan, ready: impl FnOnce(&Path) -> Result<(), Advised>) -> Result<(), Advised> {
    hardening::keep_memory_private();
    let identity = Identity::load(&plan.identity, &SystemClock)?;
    let machine = identity.machine.clone();
    let recovery = recovery(plan, &identity);
    let https = Arc::new(Https::new(&plan.target, &identity, plan.options.timeout())?);
    let claim = claim(plan)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        log_in(&https, plan).await?;
        let renewing = tokio::spawn(renewal::follow(https.clone(), identity, Arc::new(SystemClock)));
        let served = match Signals::new() {
            Ok(signals) => {
                serving::serve(https.clone(), plan, machine, recovery, signals.stream(), ready).await
            }
            Err(failure) => Err(Unserved::NeverMounted(failure)),
        };
        if let Err(Unserved::NeverMounted(_)) = &served {
            // Nothing was written; the session must not stay behind.
            let _ = https.logout().await;
        }
        renewing.abort();
        served.map_err(Unserved::into_failure)
    });
    claim.finish(match &outcome {
        Ok(()) => Outcome::Done,
        Err(failure) => Outcome::Failed(failure.what.clone()),
    });
    runtime.shutdown_background();
    outcome
}

/// Where this mount keeps what it cannot check in; none for a process without a home.
fn recovery(plan: &Plan, identity: &Identity) -> Option<Arc<Store>> {
    let label = Label { target: plan.target.to_string(), identity: plan.identity.clone() };
    Some(Arc::new(Store::new(store::folder()?, identity.expose_user_key(), label)))
}

fn runtime() -> Result<Runtime, Advised> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("3s").build().map_err(|error| {
        Advised::new(
            format!("no threads can be started: {error}"),
            "check the limits on processes and memory",
        )
    })
}

/// The record for this mountpoint, once no earlier mount of the same user checks in any more: its session
/// would end with the new login.
fn claim(plan: &Plan) -> Result<Claim, Advised> {
    let registry = Registry::own()?;
    let target = plan.target.to_string();
    for found in registry.all() {
        let finishing = found.record.target == target
            && found.record.mountpoint != plan.mountpoint
            && mountinfo::on(&found.record.mountpoint)?.is_none();
        if finishing {
            let (pid, point) = (found.record.pid, found.record.mountpoint.clone());
            found.ended(CLAIM_WAIT).ok_or_else(|| {
                Advised::new(
                    format!(
                        "process {pid} still checks in what was written to {} as {target}",
                        point.display()
                    ),
                    "a new login would cut it off: wait until it has ended, then mount again",
                )
            })?;
        }
    }
    let log = match &plan.options.log {
        Some(Log::File(path)) => Some(path.clone()),
        _ => None,
    };
    let record = Record {
        pid: std::process::id(),
        mountpoint: plan.mountpoint.clone(),
        target,
        identity: plan.identity.clone(),
        log,
        outcome: None,
    };
    registry.claim(record, CLAIM_WAIT)
}

async fn log_in(https: &Https, plan: &Plan) -> Result<(), Advised> {
    https.log_in().await.map_err(|error| {
        let hint = match &error {
            RemoteError::Unreachable(_) => {
                format!("check that the server runs, and that {} is its address", plan.target.server)
            }
            RemoteError::Refused { code: Code::LoginRefused, .. } => format!(
                "have the server's administrator add this key: 3s-server user add DATA_DIR {} user.pub",
                plan.target.uid
            ),
            RemoteError::Refused { code: Code::Throttled, .. } => "wait a minute, then try once".into(),
            RemoteError::Refused { .. } => {
                "ask the server's administrator; a new certificate comes from `3s-ca enroll`".into()
            }
        };
        Advised::new(format!("{} cannot log in: {error}", plan.target), hint)
    })
}

/// SIGTERM, SIGINT, SIGHUP.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self, Advised> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Advised::new(format!("signals cannot be listened to: {error}"), "report this as a bug")
            })
        };
        let [term, int, hup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(listen);
        Ok(Signals([term?, int?, hup?]))
    }

    fn stream(self) -> BoxStream<'static, ()> {
        stream::unfold(self, |mut signals| async move {
            signals.next().await;
            Some(((), signals))
        })
        .boxed()
    }

    async fn next(&mut self) {
        let [term, int, hup] = &mut self.0;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {}
        }
    }
}
