//! A store with a service on it, as a server has it open, and scrubs beside it.
#![allow(clippy::unwrap_used)]

mod beside;
mod damage;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use sss_common::framing::{data_header, end_frame};
use sss_common::limits::FRAME_MAX;
use sss_common::wire::fs::{Attr, CheckinEnd};
use sss_common::{DocPath, Flag, PackId, SystemClock, Timestamp};
use tempfile::TempDir;

use super::*;
use sss_server::run::compose;
use sss_server::service::{ByteStream, Caller, Peer, Precondition, Service, Settings, StoredKeys};
use sss_server::store::blobs::LocalBlobs;
use sss_server::store::sqlite::SqliteStore;
use sss_server::store::{AuditAction, AuditRow, Fingerprint, NewSession, NewUser, TokenHash};
use sss_vault::{Vault, VaultPaths};

const TOKEN: &str = "alice's token";

pub(super) struct World {
    pub(super) dir: TempDir,
    pub(super) meta: Arc<dyn MetaStore>,
    pub(super) service: Arc<Service>,
    pub(super) alice: Caller,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::keeping(Duration::from_secs(3600)).await
    }

    /// A store that drops superseded versions this long after.
    pub(super) async fn keeping(keep_superseded: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let meta: Arc<dyn MetaStore> = Arc::new(SqliteStore::create(&dir.path().join("meta.db")).unwrap());
        let user = NewUser { uid: "alice".parse().unwrap(), public_key: String::new(), now: Timestamp(0) };
        let row = |action| AuditRow::administrative(Timestamp(0), action, "");
        meta.add_user(user, row(AuditAction::UserAdd)).await.unwrap();
        let now = SystemClock.now();
        let session = NewSession {
            token: TokenHash(Sha256::digest(TOKEN).into()),
            uid: "alice".parse().unwrap(),
            public_key: String::new(),
            machine: "client1".parse().unwrap(),
            certificate: Fingerprint([1; 32]),
            now,
            expires: now.after(Duration::from_secs(3600)),
        };
        meta.begin_session(session, 1, row(AuditAction::Login)).await.unwrap();
        let stores = Stores {
            meta: meta.clone(),
            blobs: Arc::new(LocalBlobs::open(&dir.path().join("packs")).unwrap()),
        };
        let keys = copy_of_keys(dir.path());
        let vault = Vault::open(keys, Arc::new(StoredKeys(meta.clone())), None).await.unwrap();
        let settings = Settings { min_free: 0, keep_superseded, ..Settings::default() };
        let service = Service::new(stores, Arc::new(vault), Arc::new(SystemClock), settings);
        let peer = Peer {
            machine: "client1".parse().unwrap(),
            certificate: Fingerprint([1; 32]),
            serves: sss_server::service::Serves::Anyone,
            server: sss_common::login::ServerKey::of(b"server"),
            request_id: "test".into(),
        };
        let alice = service.logins.authenticate(&peer, TOKEN).await.unwrap();
        World { dir, meta, service, alice }
    }

    pub(super) async fn put(&self, name: &str, flag: Flag, content: &[u8]) {
        let (path, body) = (path(name), stream(content));
        let put = self.service.put_document(&self.alice, &path, Some(flag), Precondition::None, body);
        put.await.unwrap();
    }

    /// A check-in of one range.
    pub(super) async fn change(&self, name: &str, offset: u64, bytes: &[u8], size: u64) {
        let Attr { node, version, .. } = self.attr(name).await;
        let mut body = Vec::new();
        for (n, part) in bytes.chunks(FRAME_MAX).enumerate() {
            body.extend_from_slice(&data_header(offset + (n * FRAME_MAX) as u64, part.len()).unwrap());
            body.extend_from_slice(part);
        }
        let end = CheckinEnd { size, ..Default::default() };
        body.extend_from_slice(&end_frame(&serde_json::to_vec(&end).unwrap()));
        self.service.fs_checkin(&self.alice, node, version, None, stream(&body)).await.unwrap();
    }

    pub(super) async fn delete(&self, name: &str) {
        self.service.delete_document(&self.alice, &path(name), Precondition::None).await.unwrap();
    }

    pub(super) async fn attr(&self, name: &str) -> Attr {
        self.service.head_document(&self.alice, &path(name)).await.unwrap()
    }

    pub(super) fn beside(&self) -> Beside {
        compose::open_beside(self.dir.path(), None).unwrap()
    }

    /// What a scrub says, line by line in order, and what it has seen.
    pub(super) async fn scrub(&self) -> (Vec<String>, Scrubbed) {
        scrub(self.beside()).await
    }

    /// The lines of a scrub that finds something; without the ids of packs.
    pub(super) async fn damage(&self) -> Vec<String> {
        damage(self.dir.path()).await
    }

    /// Runs a statement behind the server's back.
    pub(super) fn sql(&self, statement: &str) -> usize {
        sql(self.dir.path(), statement)
    }

    /// The data directory as it is, elsewhere.
    pub(super) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            std::fs::create_dir_all(copy.path().join(&folder)).unwrap();
            for entry in std::fs::read_dir(self.dir.path().join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let within = folder.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(within);
                } else {
                    std::fs::copy(entry.path(), copy.path().join(within)).unwrap();
                }
            }
        }
        copy
    }

    /// Turns one bit of a BLOB: `at` counts from its beginning, or from its end when negative.
    pub(super) fn flip(&self, table: &str, column: &str, at: i64, filter: &str) {
        let connection = Connection::open(self.dir.path().join("meta.db")).unwrap();
        let sql = format!("SELECT {column} FROM {table} WHERE {filter}");
        let mut blob: Vec<u8> = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        let at = usize::try_from(at).unwrap_or_else(|_| blob.len() - at.unsigned_abs() as usize);
        blob[at] ^= 1;
        let sql = format!("UPDATE {table} SET {column} = ? WHERE {filter}");
        assert_eq!(connection.execute(&sql, [blob]).unwrap(), 1);
    }

    /// The packs' files, in the order of their check-ins.
    pub(super) async fn pack_files(&self) -> Vec<PathBuf> {
        let packs = self.meta.packs_after(None, 1000).await.unwrap();
        let packs = packs.into_iter().map(|(_, id)| id.to_string());
        let files = packs.map(|id| self.dir.path().join("packs").join(&id[..2]).join(id));
        files.filter(|file| file.exists()).collect()
    }

    pub(super) fn audited(&self) -> Vec<(Option<String>, String, String)> {
        let connection = Connection::open(self.dir.path().join("meta.db")).unwrap();
        let sql = "SELECT user, path, detail FROM audit WHERE action = 'scrub' ORDER BY seq";
        let mut rows = connection.prepare(sql).unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(|row| row.unwrap()).collect()
    }
}

pub(super) async fn damage(dir: &Path) -> Vec<String> {
    let (lines, seen) = scrub(compose::open_beside(dir, None).unwrap()).await;
    assert_eq!(lines.len(), seen.damaged.len());
    let mut lines: Vec<String> = lines.iter().map(|line| without_ids(line)).collect();
    lines.sort();
    lines
}

pub(super) fn sql(dir: &Path, statement: &str) -> usize {
    let connection = Connection::open(dir.join("meta.db")).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.execute(statement, []).unwrap()
}

pub(super) async fn scrub(store: Beside) -> (Vec<String>, Scrubbed) {
    let watch = Lines::default();
    let seen = Scrub::of(store, Rate::unlimited()).await.unwrap().run(&watch).await.unwrap();
    (watch.lines.into_inner(), seen)
}

/// Keeps the lines and counts.
#[derive(Default)]
pub(super) struct Lines {
    lines: Mutex<Vec<String>>,
    advanced: Mutex<Vec<(Walk, u64, u64)>>,
}

impl Watch for Lines {
    fn begins(&self, walk: Walk, of: u64) {
        self.advanced.lock().push((walk, of, 0));
    }

    fn advanced(&self, by: u64) {
        self.advanced.lock().last_mut().unwrap().2 += by;
    }

    fn damaged(&self, damage: &Damage) -> io::Result<()> {
        self.lines.lock().push(damage.to_string());
        Ok(())
    }
}

fn path(name: &str) -> DocPath {
    format!("@alice/{name}").parse().unwrap()
}

fn stream(content: &[u8]) -> ByteStream {
    let chunks: Vec<_> = content.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    futures::stream::iter(chunks).boxed()
}

/// Content that differs from place to place.
pub(super) fn bytes(count: usize, seed: u8) -> Vec<u8> {
    (0..count).map(|i| (i / 251) as u8 ^ (i % 251) as u8 ^ seed).collect()
}

fn without_ids(line: &str) -> String {
    let words = line.split(' ').map(|word| if word.parse::<PackId>().is_ok() { "X" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

pub(super) fn flip_file(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// A server's keys; the pair is made once.
fn copy_of_keys(to: &Path) -> VaultPaths {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        Vault::create(&compose::Paths::of(dir.path(), None).vault()).unwrap();
        dir
    });
    for name in ["server.key", "server.pub", "keyring"] {
        std::fs::copy(made.path().join(name), to.join(name)).unwrap();
    }
    compose::Paths::of(to, None).vault()
}

#[test]
fn paths_stay_on_their_line() {
    for (path, expected) in [
        ("@alice/plan für morgen.pdf", "@alice/plan für morgen.pdf"),
        ("@alice/a\nb\r\u{1b}[2Jc\u{7f}", "@alice/a\\nb\\r\\u{1b}[2Jc\\u{7f}"),
        ("@alice/a\\nb", "@alice/a\\\\nb"),
        ("@alice/fdp\u{202e}txt.exe\u{2066}\u{2028}", "@alice/fdp\\u{202e}txt.exe\\u{2066}\\u{2028}"),
    ] {
        assert_eq!(shown(path), expected);
    }
}
