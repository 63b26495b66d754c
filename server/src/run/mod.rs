//! The composition root: locks, opens, listens, waits for signals, stops in good order.

pub mod compose;
pub mod lock;
mod notify;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sss_common::Advised;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::routes::{self, Running};
use crate::service::{Service, Timekeeper};
use crate::tls::{self, Tls};

/// What `run` was asked to do.
pub struct Options {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Certificates and CRL.
    pub tls_dir: PathBuf,
    /// Where to serve.
    pub listen: SocketAddr,
    /// Where to redirect from plain HTTP.
    pub redirect: Option<SocketAddr>,
    /// The keyring, where it is not in the data directory.
    pub keyring: Option<PathBuf>,
    /// Where a copy of the deletion log is kept.
    pub deletion_log: Option<PathBuf>,
    /// Limits and habits.
    pub config: Config,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(options: Options) -> anyhow::Result<()> {
    let _lock = lock::lock(&options.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let Options { data_dir, tls_dir, listen, redirect, keyring, deletion_log, config } = options;
    let limits = config.connection_limits();
    let signals = Signals::listen()?;
    let opened = compose::open(&data_dir, keyring, config.settings()).await?;
    let tls = Arc::new(Tls::load(&tls_dir, &data_dir.join("revocation-lists"), opened.clock.clone())?);
    if let Some(path) = deletion_log {
        let kept = opened.service.upkeep.keep_deletion_log(&path).await;
        kept.map_err(|failed| anyhow::anyhow!("{}: {failed}\n{}", path.display(), failed.way_on()))?;
    }
    opened.service.publish_revocations(tls.revocation_lists());
    let (listener, address) = bind(listen).await?;
    let redirect = match redirect {
        Some(at) => Some(bind(at).await?),
        None => None,
    };

    let stop = CancellationToken::new();
    let running =
        Running { limits: config.request_limits(), tasks: TaskTracker::new(), stopping: stop.clone() };
    let app = routes::router(opened.service.clone(), running.clone());
    let doors = TaskTracker::new();
    doors.spawn(tls::serve(listener, tls.clone(), app, limits, stop.clone()));
    doors.spawn(tls::warn_in_time(tls.clone(), opened.clock.clone(), stop.clone()));
    // Maintenance goes on while requests finish, and stops behind them.
    let upkeep = CancellationToken::new();
    let (service, until) = (opened.service.clone(), upkeep.clone());
    let timekeeper = Timekeeper::new(opened.meta.clone(), opened.clock.clone());
    let maintenance = tokio::spawn(async move {
        tokio::join!(service.upkeep.run(until.clone()), service.watch(until.clone()), timekeeper.run(until));
    });
    if let Some((listener, from)) = redirect {
        doors.spawn(tls::serve_redirect(listener, address.port(), stop.clone()));
        announce("redirecting", from);
    }
    announce("listening", address);
    notify::tell("READY=1");

    signals.until_stop(&tls, &opened.service).await;
    notify::tell("STOPPING=1");
    stop.cancel();
    doors.close();
    doors.wait().await;
    running.tasks.close();
    if timeout(limits.stop, running.tasks.wait()).await.is_err() {
        tracing::warn!("stopping although {} requests are under way", running.tasks.len());
    }
    upkeep.cancel();
    if timeout(Duration::from_secs(10), maintenance).await.is_err() {
        tracing::warn!("stopping although maintenance is under way; it goes on at the next start");
    }
    opened.meta.flush().await.advice("the last lines of the audit log may be missing")?;
    tracing::info!("stopped");
    Ok(())
}

async fn bind(at: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(at)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {at}: {error}"))
        .advice("give an address of this machine and a port that nobody uses; port 0 takes any")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The line that whoever started the server waits for. Who closed stdout does not.
fn announce(what: &str, at: SocketAddr) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{what} on {at}").and_then(|()| out.flush());
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn until_stop(mut self, tls: &Tls, service: &Service) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(tls, service),
            }
        }
    }
}

fn reload(tls: &Tls, service: &Service) {
    match tls.reload() {
        Ok(()) => {
            service.publish_revocations(tls.revocation_lists());
            tracing::info!("read the certificates and the CRL again");
        }
        Err(error) => {
            let words = error.to_string().replace('\n', "; ");
            tracing::error!("the certificates in use stay: {words}");
        }
    }
}

/// Sends the log to stderr: `RUST_LOG` says how much, `info` where it does not.
pub fn start_log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { log.json().init() } else { log.with_ansi(false).init() }
}

/// Puts under an error what to do about it.
pub trait Advice<T> {
    /// The same with a second line.
    fn advice(self, words: &str) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Advice<T> for Result<T, E> {
    fn advice(self, words: &str) -> anyhow::Result<T> {
        self.map_err(|error| anyhow::anyhow!("{:#}\n{words}", error.into()))
    }
}

/// An error for a person: what happened, then what to do, which stands on a line of its own in the error.
pub fn advised(error: &anyhow::Error) -> Advised {
    let words = format!("{error:#}");
    let (what, hint) = words.split_once('\n').unwrap_or((&words, "see `3s-server --help`"));
    Advised::new(what, hint.trim_start())
}

#[cfg(test)]
mod tests;
