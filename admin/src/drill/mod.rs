//! The drill: shows on a scratch copy of a store that what was deleted stays closed, whoever has copies of everything.
//!
//! 1. A scratch copy of the metadata and the keyring; packs of its own.
//! 2. Three documents are checked in. A thief copies everything but the keyring. Two of the three are removed.
//! 3. With the keyring of the time the copy opens: the thief is able, or the drill would prove nothing.
//! 4. With today's keyring, the RSA key, the copy, today's directory, and whatever nodes of the key tree can be carved out of
//!    the raw files, neither of the two opens, and the third does.
//! 5. No key that was erased, and no plaintext, is in the raw files, or in the disk image that they lie on.
//!
//! It changes nothing in the store, and takes none of the server's locks. The scratch copy of the keyring lies beside the keyring, on the medium that must be able
//! to forget, and nowhere else; until the drill ends it remembers what the store had when it began.

mod attack;
mod scratch;
mod search;
mod stage;

use std::path::PathBuf;

use anyhow::bail;
use sss_common::say;

use attack::{Loot, Taken};
use scratch::Scratch;
pub use search::Search;
use stage::{Drilled, Stage};

/// What the drill was asked to do.
pub struct Options {
    /// The store.
    pub data_dir: PathBuf,
    /// Its keyring, where it is not in the data directory.
    pub keyring: Option<PathBuf>,
    /// Where the scratch copy is made; in the data directory where nothing is said.
    pub scratch: Option<PathBuf>,
    /// A disk or disk image to be searched as well, opened.
    pub search: Search,
}

/// Runs the drill, says what it finds, and fails if anything opens that must not, or does not that must.
pub async fn drill(options: Options) -> anyhow::Result<()> {
    let scratch = Scratch::copy(&options)?;
    let outcome = on_copy(&scratch, &options.search).await;
    scratch.remove()?;
    let verdict = outcome?;
    verdict.finish()
}

async fn on_copy(scratch: &Scratch, search: &Search) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    let stage = Stage::open(scratch).await?;
    let mut documents = stage.check_in().await?;
    let taken = Taken::now(scratch)?;
    stage.remove(&documents).await?;
    say!("three documents were checked in; all but the keyring was copied; then two were removed");

    let loot = Loot::gather(scratch, &stage, &taken, search, &documents).await?;
    let able = loot.thief_then(&documents)?;
    let mut opened = 0;
    for document in &mut documents {
        let found = taken.open(&able, document).await?;
        opened += usize::from(found.is_whole(document));
    }
    verdict.note(opened == 3, "with the keyring of the time the copy opens: the thief is able");

    let thief = loot.thief_today(&documents)?;
    let nodes = loot.nodes();
    for document in &documents {
        let found = taken.open_known(&thief, document).await?;
        let name = document.name();
        match document.kept {
            true => verdict.note(found.is_whole(document), &format!("`{name}`, which was kept, opens today")),
            false => verdict.note(
                found.is_nothing(),
                &format!("`{name}`, which was removed, does not open with today's keyring, the RSA key and {nodes} nodes of old and new key trees"),
            ),
        }
    }
    let secrets = able.secrets_beyond(&thief);
    verdict.note(secrets.count() > 0, "erasing made the thief lose keys");
    for place in search.run(scratch, &secrets, Drilled::mark(&documents))? {
        verdict.note(place.is_clean(), &place.to_string());
    }
    Ok(verdict)
}

/// What was found, line by line.
#[derive(Default)]
struct Verdict {
    failed: usize,
}

impl Verdict {
    fn note(&mut self, passed: bool, what: &str) {
        self.failed += usize::from(!passed);
        say!("{} {what}", if passed { "ok    " } else { "FAILED" });
    }

    fn finish(self) -> anyhow::Result<()> {
        if self.failed > 0 {
            bail!(
                "the drill failed in {} points: what is removed from this store may not be gone\n\
                 keep copies of it from others, and report this with the lines above",
                self.failed
            );
        }
        say!("the drill passed: what is removed from this store is gone once its keyring forgot");
        Ok(())
    }
}
