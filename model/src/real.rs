//! The real server as a site: the service on SQLite and a folder of packs, behind TLS on the loopback interface. Certificates
//! are made by `sss-certs`; keys that take long to make are made once for all sequences of a process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sss_certs::issue::{EnrollRequest, ServerRequest};
use sss_certs::{Ca, Days};
use sss_common::clock::ManualClock;
use sss_common::{Clock, SystemClock, Timestamp};
use sss_fs_client::identity::Identity;
use sss_fs_client::remote::https::{Https, Target};
use sss_fs_client::remote::{Remote, RemoteError};
use sss_server::routes::{self, Running};
use sss_server::service::{Service, Settings, StoredKeys};
use sss_server::store::blobs::LocalBlobs;
use sss_server::store::faulty::{FaultyMeta, Moment, Often, backend_failed};
use sss_server::store::sqlite::SqliteStore;
use sss_server::store::{
    AuditAction, AuditRow, BlobStore, MetaStore, NewUser, Reclaim, StoreError, Stores, Users,
};
use sss_server::tls::{self, Limits, Tls};
use sss_vault::{Vault, VaultPaths};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::site::Site;
use crate::step::{Fault, SEATS, Seat, USERS};

/// How long a call may take: longer than any pause of a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The server.
pub struct Real {
    dir: TempDir,
    clock: Arc<ManualClock>,
    meta: Arc<FaultyMeta>,
    blobs: Arc<LocalBlobs>,
    running: Option<Serving>,
    port: u16,
    restarted: bool,
}

struct Serving {
    service: Arc<Service>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Real {
    /// An empty server.
    pub async fn start(now: Timestamp) -> Self {
        let dir = TempDir::new_in(scratch()).expect("a scratch folder");
        let clock = Arc::new(ManualClock::at(now));
        let store = SqliteStore::create(&dir.path().join("meta.db")).expect("a database");
        let meta = Arc::new(FaultyMeta::new(Arc::new(store)));
        for uid in USERS {
            let public_key =
                std::fs::read_to_string(pki().identity(uid, 0).join("user.pub")).expect("a public key");
            let user = NewUser { uid: uid.parse().expect("a uid"), public_key, now };
            meta.add_user(user, AuditRow::administrative(now, AuditAction::UserAdd, uid))
                .await
                .expect("a user");
        }
        for name in ["server.key", "server.pub", "keyring"] {
            std::fs::copy(pki().dir.path().join("vault").join(name), dir.path().join(name)).expect("a key");
        }
        let blobs = Arc::new(LocalBlobs::open(&dir.path().join("packs")).expect("packs"));
        let mut real = Real { dir, clock, meta, blobs, running: None, port: 0, restarted: false };
        real.serve().await;
        real
    }

    async fn serve(&mut self) {
        let meta: Arc<dyn MetaStore> = self.meta.clone();
        let last_leaf = meta.last_leaf().await.expect("the last leaf");
        let keys = Arc::new(StoredKeys(meta.clone()));
        let vault = Vault::open(vault_paths(self.dir.path()), keys, last_leaf).await.expect("the vault");
        if let Some(queued) = meta.last_queued().await.expect("the queue") {
            vault.pass_over(queued);
        }
        // Before the first restart only pins keep superseded versions; a restart forgets pins, so from then on time does.
        let keep_superseded = if self.restarted { Duration::from_secs(1 << 30) } else { Duration::ZERO };
        let settings = Settings {
            min_free: 0,
            keep_superseded,
            session_ttl: Duration::from_secs(300 * 24 * 3600),
            ..Settings::default()
        };
        let stores = Stores { meta, blobs: self.blobs.clone() };
        let service = Service::new(stores, Arc::new(vault), self.clock.clone(), settings);
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.expect("the port");
        self.port = listener.local_addr().expect("an address").port();
        let tls_dir = pki().dir.path().join("tls");
        let lists = self.dir.path().join("revocation-lists");
        let tls = Arc::new(Tls::load(&tls_dir, &lists, Arc::new(SystemClock)).expect("certificates"));
        let stop = CancellationToken::new();
        let app = routes::router(service.clone(), Running { stopping: stop.clone(), ..Running::default() });
        let task = tokio::spawn(tls::serve(listener, tls, app, Limits::default(), stop.clone()));
        self.running = Some(Serving { service, stop, task });
    }

    async fn stop(&mut self) {
        let Some(serving) = self.running.take() else { return };
        serving.stop.cancel();
        serving.task.await.expect("the server stops");
    }

    fn service(&self) -> &Arc<Service> {
        &self.running.as_ref().expect("the server runs").service
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Some(serving) = self.running.take() {
            serving.stop.cancel();
            serving.task.abort();
        }
    }
}

impl Site for Real {
    fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }

    async fn log_in(&self, seat: Seat) -> Result<Arc<dyn Remote>, RemoteError> {
        let target: Target =
            format!("{}@127.0.0.1:{}", USERS[seat.user()], self.port).parse().expect("a target");
        let https = Https::new(&target, pki().seat(seat), TIMEOUT).expect("a client");
        https.log_in().await?;
        Ok(Arc::new(https))
    }

    fn say_alive(&self, every_ms: u64) {
        self.service().say_alive(every_ms);
    }

    async fn restart(&mut self) {
        self.stop().await;
        self.restarted = true;
        self.serve().await;
    }

    /// The service believes a session for a second; one that is started anew believes nothing yet.
    async fn set_disabled(&mut self, user: usize, disabled: bool) {
        let uid = USERS[user].parse().expect("a uid");
        let action = if disabled { AuditAction::UserDisable } else { AuditAction::UserEnable };
        let row = AuditRow::administrative(self.clock.now(), action, USERS[user]);
        self.meta.set_disabled(&uid, disabled, row).await.expect("a known user");
        self.restart().await;
    }

    async fn maintain(&self) {
        if let Err(failure) = self.service().upkeep.maintain().await {
            panic!("maintenance failed: {failure:?}");
        }
    }

    fn arm(&self, fault: Option<Fault>) {
        self.meta.heal();
        let fail =
            |moment, error: fn() -> StoreError| self.meta.fail(Some("commit"), Often::Next, moment, error);
        match fault {
            Some(Fault::Full) => fail(Moment::Before, || StoreError::Full),
            Some(Fault::Backend) => fail(Moment::Before, backend_failed),
            Some(Fault::Late) => fail(Moment::After, backend_failed),
            None => {}
        }
    }

    /// Every pack in the folder is used by a version, or waits to be deleted: nothing was left behind but what a
    /// failing database leaves to the sweeper.
    async fn check(&self) -> Result<(), String> {
        for (pack, _) in self.blobs.list().await.map_err(|error| error.to_string())? {
            if !self.meta.has_pack(pack).await.map_err(|error| error.to_string())? {
                return Err(format!("the pack {pack} has no row"));
            }
        }
        Ok(())
    }
}

/// In memory where the machine has such a folder: what is tested here is not the disk.
fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.into() } else { std::env::temp_dir() }
}

fn vault_paths(dir: &Path) -> VaultPaths {
    VaultPaths {
        server_key: dir.join("server.key"),
        server_pub: dir.join("server.pub"),
        keyring: dir.join("keyring"),
    }
}

/// Certificates and keys, made once.
struct Pki {
    dir: TempDir,
    seats: Vec<Identity>,
}

impl Pki {
    fn make() -> Self {
        let dir = TempDir::new_in(scratch()).expect("a scratch folder");
        let now = SystemClock.now();
        let mut ca = Ca::init(&dir.path().join("ca"), Days::ROOT, now).expect("an authority");
        let hosts = vec!["127.0.0.1".parse().expect("a host")];
        let request = ServerRequest { hosts, days: Days::SERVER, renew: false };
        ca.issue_server(&request, &dir.path().join("tls"), now).expect("a server's certificate");
        let vault = dir.path().join("vault");
        std::fs::create_dir(&vault).expect("a folder");
        Vault::create(&vault_paths(&vault)).expect("the server's keys");
        let mut pki = Pki { dir, seats: Vec::new() };
        for (number, (user, machine)) in SEATS.iter().enumerate() {
            let first = SEATS.iter().position(|(other, _)| other == user).unwrap_or(number);
            let to = pki.dir.path().join(format!("seat{number}"));
            if first != number {
                // The same user on another machine: the same key.
                sss_certs::files::make_private_folder(&to).expect("a folder");
                for name in ["user.key", "user.pub"] {
                    let from = pki.dir.path().join(format!("seat{first}")).join(name);
                    std::fs::copy(from, to.join(name)).expect("a user's key");
                }
            }
            let uid = USERS[*user].parse().expect("a uid");
            let request = EnrollRequest {
                uid,
                machine: machine.parse().expect("a machine"),
                days: Days::NODE,
                shared: true,
            };
            ca.enroll(&request, &to, now).expect("an identity");
            pki.seats.push(Identity::load(&to, &SystemClock).expect("an identity"));
        }
        pki
    }

    fn identity(&self, uid: &str, otherwise: usize) -> PathBuf {
        let seat = SEATS.iter().position(|(user, _)| USERS[*user] == uid).unwrap_or(otherwise);
        self.dir.path().join(format!("seat{seat}"))
    }

    fn seat(&self, seat: Seat) -> &Identity {
        &self.seats[seat.0]
    }
}

fn pki() -> &'static Pki {
    static MADE: OnceLock<Pki> = OnceLock::new();
    MADE.get_or_init(Pki::make)
}
