//! What a thief does with copies of a data folder.

use std::fs;
use std::path::Path;

use rustix::io::Errno;

use crate::command::Cmd;
use crate::store::Store;

/// Puts the rows of an old database that are missing in today's one back into it.
const MERGE: &str = r#"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("pragma foreign_keys = off")
db.execute("attach ? as old", (sys.argv[2],))
for (table,) in db.execute("select name from old.sqlite_master where type = 'table' and name not like 'sqlite_%'").fetchall():
    db.execute(f'insert or ignore into main."{table}" select * from old."{table}"')
db.commit()
"#;

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    Cmd::new("cp").arg("-aT").arg(from).arg(to).ok();
}

/// Puts back into a data folder all that an older copy of it has and it has not: rows and packs.
pub fn merge(old: &Path, data: &Path) {
    Cmd::new("cp").arg("-an").arg(old.join("packs/.")).arg(data.join("packs/")).ok();
    Cmd::new("python3").args(["-c", MERGE]).arg(data.join("meta.db")).arg(old.join("meta.db")).ok();
}

/// Reads documents as alice, on whatever is in the store's data folder now. `Err` also when the server does not start.
pub fn read_with_a_server(store: &mut Store, names: &[&str]) -> Result<Vec<Result<Vec<u8>, Errno>>, String> {
    store.try_start_server()?;
    let (command, mountpoint) = store.mount_command("alice");
    let mounted = command.run();
    let found = mounted.success().then(|| {
        let read = |name: &&str| {
            fs::read(mountpoint.join(name)).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
        };
        let found = names.iter().map(read).collect();
        store.tool("3s").arg("unmount").arg(&mountpoint).ok();
        found
    });
    store.stop_server();
    found.ok_or_else(|| mounted.err())
}
