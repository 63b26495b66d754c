//! Drafts that are kept before their mount ends: a spare of each whose `close` was refused, so that the end of the mount's
//! process, however it comes, takes nothing that a program believes to have handed over.
//!
//! A spare is a file of [`crate::recovery`] whose lock its mount holds: the next mount makes a copy of it only once this one
//! is gone. It goes when its draft is on the server; when more was written and refused, a newer one takes its place.

use std::path::PathBuf;
use std::sync::Arc;

use fuser::INodeNo;

use super::{Answer, Failure, Fs};
use crate::document::Document;
use crate::recovery::store::Claimed;

/// A draft that is kept and may still get to the server.
pub(super) struct Spare {
    file: Claimed,
    /// The last change that is in it.
    changes: u64,
}

impl Fs {
    /// After a check-in: keeps a spare of what was refused, drops those that nobody needs any more. Answers what `close` says.
    pub(super) async fn spared(
        &self,
        ino: INodeNo,
        document: &Arc<Document>,
        answer: Answer<()>,
    ) -> Answer<()> {
        let answer = match answer {
            Err(failure) if document.is_dirty() => Err(self.spare(ino, document, failure).await),
            answer => answer,
        };
        self.drop_spares();
        answer
    }

    async fn spare(&self, ino: INodeNo, document: &Arc<Document>, failure: Failure) -> Failure {
        let Some(store) = &self.options.recovery else { return failure };
        let changes = document.changes();
        if self.spares.lock().get(&ino).is_some_and(|spare| spare.changes >= changes) {
            return failure;
        }
        let kept = match self.write_draft(store, ino, document, &failure, std::future::ready(())).await {
            Ok(kept) => kept,
            Err(error) => {
                let why = format!("{}; nor could it be kept on this machine: {error}", failure.why);
                return Failure { why, ..failure };
            }
        };
        if let Ok(Some(file)) = kept.claim() {
            let older = self.spares.lock().insert(ino, Spare { file, changes });
            older.into_iter().for_each(removed);
        }
        failure
    }

    /// Removes spares of what is on the server, or is nobody's any more.
    pub(super) fn drop_spares(&self) {
        let needed = |ino: &INodeNo| self.document(*ino).is_some_and(|document| document.is_dirty());
        let unneeded: Vec<Spare> =
            self.spares.lock().extract_if(|ino, _| !needed(ino)).map(|(_, spare)| spare).collect();
        // The disk keeps no other check-in waiting for the lock.
        unneeded.into_iter().for_each(removed);
    }

    /// The spare of a document, if everything that was written is in it: from now on it is kept for good.
    pub(super) fn spare_for_good(&self, ino: INodeNo, document: &Document) -> Option<PathBuf> {
        let mut spares = self.spares.lock();
        let spare = spares.get(&ino).filter(|spare| spare.changes == document.changes())?;
        let path = spare.file.kept.path.clone();
        spares.remove(&ino);
        Some(path)
    }
}

fn removed(spare: Spare) {
    let file = spare.file.kept.path.clone();
    if let Err(error) = spare.file.remove() {
        tracing::warn!(file = %file.display(), %error, "a kept draft that is on the server could not be removed");
    }
}
