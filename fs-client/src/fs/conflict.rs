//! What becomes of a draft that cannot be checked in: nothing that was written is dropped in silence.

use std::sync::Arc;

use fuser::{Errno, INodeNo};
use sss_common::limits::NAME_MAX;
use sss_common::wire::fs::{CreateRequest, RemoveRequest};
use sss_common::{Code, Kind, Name, NodeId, Timestamp};

use super::{Answer, Failure, Fs};
use crate::document::{Document, Error};
use crate::remote::RemoteError;
use crate::remote::retries::{CLOSED_DRAFTS, CONFLICT_NAME};
use crate::tree::ROOT;

/// `NAME (conflict UID NODE TIME).EXT`, cut to what a name may have.
pub fn conflict_name(name: &str, who: &str, at: Timestamp, again: u32) -> Option<Name> {
    let time = at.to_string().replace(':', "");
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 32 => name.split_at(dot),
        _ => (name, ""),
    };
    let mark = match again {
        0 => format!(" (conflict {who} {time})"),
        _ => format!(" (conflict {who} {time} {again})"),
    };
    let mut room = NAME_MAX.checked_sub(mark.len() + extension.len())?.min(stem.len());
    while !stem.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{mark}{extension}", &stem[..room]).parse().ok()
}

impl Fs {
    /// Keeps a refused draft beside its document, or in the user's own home. Answers the failure that
    /// `close` sees, now and from then on; none when it was checked in by another `close` meanwhile. One
    /// round trip for the name, one for the content, in the worst case twice.
    pub(super) async fn keep(
        self: &Arc<Self>,
        ino: INodeNo,
        document: &Arc<Document>,
        cause: RemoteError,
    ) -> Answer<()> {
        let failure = self.refused(cause.clone());
        // A deleted document is ENOENT to a lookup; to a file that is open it is one that moved on.
        let mut cause = cause;
        if let RemoteError::Refused { code: code @ Code::NotFound, .. } = &mut cause {
            *code = Code::VersionGone;
        }
        let why = format!("{}; what was written before is being kept in a conflict copy", failure.why);
        let Some(_keeping) = document.keeping(Error::Lost { cause: cause.clone(), why }).await else {
            return document.lost_why().map_or(Ok(()), |error| Err(self.failed(error)));
        };
        match self.save_copy(ino, document).await {
            Ok(place) => {
                let why = format!("{}; what was written is kept in {place}", failure.why);
                tracing::warn!(path = %self.path(ino), copy = %place, "a draft was kept as a conflict copy");
                document.lost(cause.clone(), why.clone());
                self.tree.lock().retire(ino);
                Err(Failure { why, ..Failure::from(cause) })
            }
            Err(error) => {
                self.retry_later();
                let why =
                    format!("{}; the draft is still here, it could not be kept: {}", failure.why, error.why);
                Err(Failure { why, ..Failure::from(cause) })
            }
        }
    }

    async fn save_copy(&self, ino: INodeNo, document: &Arc<Document>) -> Result<String, Failure> {
        let place = self.known(ino).ok().and_then(|inode| inode.place);
        let (folder, name) = match &place {
            Some((parent, name)) => (*parent, name.as_str()),
            None => (ROOT, "document"),
        };
        let near = self.node(folder).await;
        self.copy_beside(near, &self.path(folder), name, document, self.options.clock.now()).await
    }

    /// Makes a copy of a draft in the folder of its document, whose path is `path`; where that folder may not be written or
    /// is gone, in the user's own home. Answers the copy's path.
    pub(super) async fn copy_beside(
        &self,
        folder: Answer<NodeId>,
        path: &str,
        name: &str,
        document: &Arc<Document>,
        at: Timestamp,
    ) -> Answer<String> {
        let is_home = path == "/";
        let beside = match folder {
            Ok(node) => self.copy_into(node, name, document, at).await,
            Err(_) => Err(Failure::new(Errno::ENOENT, "its folder is not known here any more")),
        };
        match beside {
            Ok(copy) => Ok(format!("{}/{copy}", path.trim_end_matches('/'))),
            // The folder may not be written, or is gone: the user's own home may and is not.
            Err(failure) if !is_home && is_about_the_folder(&failure) => {
                let home = self.node(ROOT).await?;
                Ok(format!("/{}", self.copy_into(home, name, document, at).await?))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn copy_into(
        &self,
        folder: NodeId,
        name: &str,
        document: &Arc<Document>,
        now: Timestamp,
    ) -> Answer<Name> {
        let who = match &self.options.machine {
            Some(node) => format!("{} {node}", self.remote.uid()),
            None => self.remote.uid().to_string(),
        };
        for again in 0..CONFLICT_NAME.tries {
            let Some(copy) = conflict_name(name, &who, now, again) else { break };
            let attr = document.attr();
            let request = CreateRequest {
                parent: folder,
                name: copy.clone(),
                kind: Kind::File,
                mode: attr.mode & 0o777 | 0o600,
                flag: attr.flag,
                target: None,
                copy_of: Some(attr.node),
            };
            match self.remote.create(request).await {
                Ok(created) => {
                    return match document.copy_to(created.attr.node).await {
                        Ok(_) => Ok(copy),
                        Err(error) => {
                            self.take_back(folder, copy).await;
                            Err(self.failed(error))
                        }
                    };
                }
                Err(RemoteError::Refused { code: Code::Exists, .. }) => {}
                Err(error) => return Err(self.refused(error)),
            }
        }
        Err(Failure::new(Errno::EEXIST, "no name is left for the conflict copy"))
    }

    /// Removes a copy that stayed empty; the draft is still here and gets another one.
    async fn take_back(&self, folder: NodeId, copy: Name) {
        let request = RemoveRequest { parent: folder, name: copy.clone(), folder: false };
        if let Err(error) = self.remote.remove(request).await {
            tracing::warn!(%copy, %error, "an empty conflict copy was left behind");
        }
    }

    /// Tries drafts of closed files again until none is left. Files that are open are tried again by their
    /// own `close`.
    pub(super) fn retry_later(&self) {
        self.retry.notify_one();
    }

    /// Runs for as long as the mount does: waits until a draft could not be checked in, then tries again.
    pub async fn run_retries(self: Arc<Self>, cancel: tokio_util::sync::CancellationToken) {
        while cancel.run_until_cancelled(self.retry.notified()).await.is_some() {
            let mut pauses = CLOSED_DRAFTS.pause.begin();
            while self.has_orphans() {
                if cancel.run_until_cancelled(tokio::time::sleep(pauses.advance())).await.is_none() {
                    return;
                }
                self.retry_now().await;
            }
        }
    }

    fn has_orphans(&self) -> bool {
        self.documents.iter().any(|document| document.handles() == 0)
    }

    /// Tries the drafts of closed files once.
    pub async fn retry_now(self: &Arc<Self>) {
        let orphans: Vec<(INodeNo, Arc<Document>)> = self
            .documents
            .iter()
            .filter(|document| document.handles() == 0)
            .map(|entry| (*entry.key(), entry.value().clone()))
            .collect();
        for (ino, document) in orphans {
            let answer = self.checkin(ino, &document).await;
            let _ = self.noted(ino, "retry", answer);
            let gone = self.documents.remove_if(&ino, |_, open| open.handles() == 0 && !open.is_dirty());
            if gone.is_some() {
                document.unpin();
                self.forget(ino, 0);
            }
        }
    }
}

/// Whether another folder may take what this one did not.
fn is_about_the_folder(failure: &Failure) -> bool {
    matches!(failure.errno, Errno::EACCES | Errno::ENOENT | Errno::ENOTDIR)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn at() -> Timestamp {
        "2026-11-22T15:04:05Z".parse().unwrap()
    }

    #[test]
    fn names_read_as_the_contract_says() {
        for (name, copy) in [
            ("report.pdf", "report (conflict alice client1 2026-11-22T150405Z).pdf"),
            ("notes", "notes (conflict alice client1 2026-11-22T150405Z)"),
            (".bashrc", ".bashrc (conflict alice client1 2026-11-22T150405Z)"),
            ("a.tar.gz", "a.tar (conflict alice client1 2026-11-22T150405Z).gz"),
        ] {
            assert_eq!(conflict_name(name, "alice client1", at(), 0).unwrap().as_str(), copy);
        }
    }

    proptest! {
        #[test]
        fn any_name_has_a_conflict_name(name in "[^/\0]{1,60}|[a-z.]{1,255}", again in 0u32..3) {
            let who = format!("{} {}", "u".repeat(64), "n".repeat(64));
            prop_assert!(conflict_name(&name, &who, at(), again).is_some());
        }
    }
}
