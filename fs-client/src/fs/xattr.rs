//! Extended attributes: the store's own under `user.3s.`, other `user.*` with the document, and nothing else.
//!
//! Round trips: none for `security.*`, `system.*`, `trusted.*` and `user.3s.why`; one for any other, except
//! that a listing asks for attributes and grants at the same time. Answers are remembered for [`TTL`].

use std::sync::Arc;
use std::time::Instant;

use dashmap::DashMap;
use fuser::{Errno, INodeNo};
use sss_common::clock::monotonic;
use sss_common::limits::XATTR_VALUE_MAX;
use sss_common::wire::calls::*;
use sss_common::wire::documents::GrantInfo;
use sss_common::{Code, Flag, GrantText, Grantee, Kind, NodeId, XattrMode};

use super::attribute::Attribute;
pub use super::attribute::SetMode;
use super::{Answer, Failure, Fs, TTL};
use crate::remote::{self, RemoteError};
use crate::tree::{ROOT, SELF};

/// What was asked a moment ago.
#[derive(Default)]
pub struct Cache {
    others: DashMap<NodeId, (Instant, Arc<Vec<Xattr>>)>,
    grants: DashMap<NodeId, (Instant, Arc<Vec<GrantInfo>>)>,
}

/// Remembered answers at most; beyond it, all are forgotten.
const REMEMBERED: usize = 4096;

impl Cache {
    /// Forgets everything.
    pub fn clear(&self) {
        self.others.clear();
        self.grants.clear();
    }

    fn forget(&self, node: NodeId) {
        self.others.remove(&node);
        self.grants.remove(&node);
    }
}

fn fresh<T: Clone>(table: &DashMap<NodeId, (Instant, T)>, node: NodeId) -> Option<T> {
    table.get(&node).filter(|entry| entry.0.elapsed() < TTL).map(|entry| entry.1.clone())
}

fn remember<T>(table: &DashMap<NodeId, (Instant, T)>, node: NodeId, at: Instant, value: T) {
    if table.len() >= REMEMBERED {
        table.clear();
    }
    table.insert(node, (at, value));
}

fn no_data() -> Failure {
    Failure::new(Errno::ENODATA, "no such attribute")
}

fn read_only(name: &str) -> Failure {
    Failure::new(Errno::EPERM, format!("{name} can be read only"))
}

impl Fs {
    /// One attribute's value.
    pub async fn getxattr(&self, ino: INodeNo, name: &str) -> Answer<Vec<u8>> {
        let answer = self.value(ino, name).await;
        self.noted(ino, "getxattr", answer)
    }

    async fn value(&self, ino: INodeNo, name: &str) -> Answer<Vec<u8>> {
        let kind = Attribute::named(name).map_err(|_| no_data())?;
        match kind {
            Attribute::Foreign | Attribute::Unknown => return Err(no_data()),
            Attribute::Why => return self.why(ino).map(String::into_bytes),
            _ if ino == SELF => return Err(no_data()),
            _ => self.live()?,
        }
        let text = match kind {
            Attribute::Grant(grantee) => {
                let grants = self.grants(ino).await?;
                let grant = grants.iter().find(|grant| grant.grantee == grantee).ok_or_else(no_data)?;
                grant_text(grant)
            }
            Attribute::Other(name) => {
                let others = self.others(ino).await?;
                let other = others.iter().find(|xattr| xattr.name == name).ok_or_else(no_data)?;
                return Ok(other.value.0.clone());
            }
            Attribute::Signature => self.record(ino).await?.signature.ok_or_else(no_data)?.to_string(),
            Attribute::Record => self.record(ino).await?.record.to_string(),
            Attribute::ServerKey => self.record(ino).await?.server_key,
            Attribute::Id => self.node(ino).await?.to_string(),
            Attribute::Receipt(document) => self.receipt(ino, document).await?,
            Attribute::Flag => self.fresh_attr(ino).await?.flag.ok_or_else(no_data)?.as_str().into(),
            Attribute::Owner => self.fresh_attr(ino).await?.owner.to_string(),
            Attribute::Author => self.fresh_attr(ino).await?.author.ok_or_else(no_data)?.to_string(),
            Attribute::Version => self.fresh_attr(ino).await?.version.to_string(),
            Attribute::Right => self.fresh_attr(ino).await?.right.as_str().into(),
            Attribute::Foreign | Attribute::Unknown | Attribute::Why => return Err(no_data()),
        };
        Ok(text.into_bytes())
    }

    /// Why the last refusal here happened; else the one in the folder above, else the mount's last.
    fn why(&self, ino: INodeNo) -> Answer<String> {
        let place = self.tree.lock().inode(ino).and_then(|inode| inode.place.clone());
        let why = self.refusals.why(ino, place.map_or(ROOT, |(folder, _)| folder));
        why.ok_or_else(no_data)
    }

    async fn record(&self, ino: INodeNo) -> Answer<RecordResponse> {
        let node = self.node(ino).await?;
        let record = self.remote.record(RecordRequest { node, version: None }).await;
        record.map_err(|error| self.refused(error))
    }

    /// As JSON. Of the root, because what it tells of is gone.
    async fn receipt(&self, ino: INodeNo, document: NodeId) -> Answer<String> {
        if ino != ROOT {
            return Err(no_data());
        }
        let signed = self.remote.receipt(ReceiptRequest { document }).await;
        let signed = signed.map_err(|error| self.refused(error))?;
        let json = serde_json::to_string(&signed)
            .map_err(|error| Failure::new(Errno::EIO, format!("the receipt cannot be written: {error}")))?;
        match json.len() <= XATTR_VALUE_MAX {
            true => Ok(json),
            false => Err(Failure::new(
                Errno::E2BIG,
                "the receipt is longer than an attribute may be; fetch it over HTTPS: POST /v1/fs/receipt",
            )),
        }
    }

    /// The server's attributes now; of what is open, those of the version that is open.
    async fn fresh_attr(&self, ino: INodeNo) -> Answer<Attr> {
        let node = self.node(ino).await?;
        self.remote.attr(NodeRequest { node }).await.map_err(|error| self.refused(error))
    }

    async fn grants(&self, ino: INodeNo) -> Answer<Arc<Vec<GrantInfo>>> {
        let node = self.node(ino).await?;
        if let Some(grants) = fresh(&self.attributes.grants, node) {
            return Ok(grants);
        }
        let at = monotonic();
        let grants =
            self.remote.grants(NodeRequest { node }).await.map_err(|error| self.refused(error))?.grants;
        let grants = Arc::new(grants);
        remember(&self.attributes.grants, node, at, grants.clone());
        Ok(grants)
    }

    async fn others(&self, ino: INodeNo) -> Answer<Arc<Vec<Xattr>>> {
        let node = self.node(ino).await?;
        if let Some(others) = fresh(&self.attributes.others, node) {
            return Ok(others);
        }
        let at = monotonic();
        let others =
            self.remote.xattrs(NodeRequest { node }).await.map_err(|error| self.refused(error))?.xattrs;
        let others = Arc::new(others);
        remember(&self.attributes.others, node, at, others.clone());
        Ok(others)
    }

    /// The names that are listed, each with its NUL.
    pub async fn listxattr(&self, ino: INodeNo) -> Answer<Vec<u8>> {
        let answer = self.xattr_names(ino).await;
        self.noted(ino, "listxattr", answer)
    }

    async fn xattr_names(&self, ino: INodeNo) -> Answer<Vec<u8>> {
        if ino == SELF {
            return Ok(Vec::new());
        }
        self.live()?;
        let inode = self.inode(ino).await?;
        // The kernel gives no `user.*` attribute of a link out: who copies what is listed would find none.
        if inode.attr.kind == Kind::Symlink {
            return Ok(Vec::new());
        }
        let (others, grants) = tokio::join!(self.others(ino), self.grants(ino));
        let mut names: Vec<String> =
            grants?.iter().map(|grant| format!("user.3s.grant.{}", grant.grantee)).collect();
        if inode.attr.right.owner && inode.attr.flag.is_some() {
            names.push("user.3s.flag".into());
        }
        // Who may only see that a document is there sees none of its attributes.
        match others {
            Ok(others) => names.extend(others.iter().map(|xattr| xattr.name.clone())),
            Err(failure) if failure.errno == Errno::EACCES => {}
            Err(failure) => return Err(failure),
        }
        names.iter_mut().for_each(|name| name.push('\0'));
        Ok(names.concat().into_bytes())
    }

    /// Sets one.
    pub async fn setxattr(&self, ino: INodeNo, name: &str, value: &[u8], mode: SetMode) -> Answer<()> {
        let answer = self.set(ino, name, value, mode.0).await;
        self.noted(ino, "setxattr", answer)
    }

    async fn set(&self, ino: INodeNo, name: &str, value: &[u8], mode: XattrMode) -> Answer<()> {
        let kind = match Attribute::named(name)? {
            Attribute::Foreign => {
                return Err(Failure::new(Errno::ENOTSUP, "only user.* attributes are kept"));
            }
            kind => kind,
        };
        self.writable()?;
        if ino == SELF {
            return Err(Failure::new(Errno::EPERM, "set it on the folder that the link names"));
        }
        let node = self.node(ino).await?;
        self.attributes.forget(node);
        match kind {
            Attribute::Grant(grantee) => {
                let text = as_text(value)?;
                let GrantText { right, when } = text.parse()?;
                self.create_or_replace(ino, &grantee, mode).await?;
                let request = SetGrantRequest { node, grantee, right, when };
                self.remote.grant(request).await.map_err(|error| self.refused(error))?;
            }
            Attribute::Flag => {
                if mode == XattrMode::Create && self.known(ino)?.attr.flag.is_some() {
                    return Err(Failure::new(Errno::EEXIST, "the flag is set"));
                }
                self.set_flag(ino, node, as_text(value)?).await?;
            }
            Attribute::Other(name) => {
                if value.len() > XATTR_VALUE_MAX {
                    return Err(Failure::new(Errno::E2BIG, "an attribute holds at most 64 KiB"));
                }
                let xattr = Xattr { name: name.into(), value: value.into() };
                let request = SetXattrRequest { node, xattr, mode };
                self.remote.setxattr(request).await.map_err(|error| self.other_refused(error))?;
            }
            Attribute::Owner
            | Attribute::Author
            | Attribute::Version
            | Attribute::Right
            | Attribute::Signature
            | Attribute::Record
            | Attribute::Id
            | Attribute::Receipt(_)
            | Attribute::ServerKey
            | Attribute::Why => return Err(read_only(name)),
            Attribute::Unknown | Attribute::Foreign => {
                return Err(Failure::new(Errno::EINVAL, format!("{name} does not exist")));
            }
        }
        self.attributes.forget(node);
        Ok(())
    }

    async fn create_or_replace(&self, ino: INodeNo, grantee: &Grantee, mode: XattrMode) -> Answer<()> {
        if mode == XattrMode::Any {
            return Ok(());
        }
        let there = self.grants(ino).await?.iter().any(|grant| grant.grantee == *grantee);
        match (mode, there) {
            (XattrMode::Create, true) => Err(Failure::new(Errno::EEXIST, "there is such a grant")),
            (XattrMode::Replace, false) => Err(no_data()),
            _ => Ok(()),
        }
    }

    async fn set_flag(&self, ino: INodeNo, node: NodeId, text: &str) -> Answer<()> {
        let flag: Flag = text.trim_end_matches('\n').parse().map_err(|_| {
            Failure::new(
                Errno::EINVAL,
                format!("{text:?} is no flag; it is `confidentiality` or `integrity`"),
            )
        })?;
        self.protect(ino, node, flag).await.map_err(|error| self.refused(error))
    }

    /// A new version with the same content: the inode moves along unless someone else was there too.
    async fn protect(&self, ino: INodeNo, node: NodeId, flag: Flag) -> remote::Result<()> {
        let attr = self.remote.setflag(SetFlagRequest { node, flag }).await?;
        self.reflagged(ino, attr);
        Ok(())
    }

    /// Removes one.
    pub async fn removexattr(&self, ino: INodeNo, name: &str) -> Answer<()> {
        let answer = self.unset(ino, name).await;
        self.noted(ino, "removexattr", answer)
    }

    async fn unset(&self, ino: INodeNo, name: &str) -> Answer<()> {
        let kind = match Attribute::named(name)? {
            Attribute::Foreign => {
                return Err(Failure::new(Errno::ENOTSUP, "only user.* attributes are kept"));
            }
            kind => kind,
        };
        self.writable()?;
        let node = self.node(ino).await?;
        let done = match kind {
            Attribute::Grant(grantee) => self.remote.revoke(RevokeRequest { node, grantee }).await.map(drop),
            Attribute::Other(name) => {
                self.remote.removexattr(RemoveXattrRequest { node, name: name.into() }).await.map(drop)
            }
            Attribute::Flag => self.reset_flag(ino, node).await,
            Attribute::Unknown => return Err(no_data()),
            _ => return Err(read_only(name)),
        };
        self.attributes.forget(node);
        done.map_err(|error| self.other_refused(error))
    }

    /// Without a flag of its own a document has what it would have got where it lies. `rsync -X` removes the
    /// flag of what it has just made, when its source has none.
    async fn reset_flag(&self, ino: INodeNo, node: NodeId) -> remote::Result<()> {
        let folder = self.known(ino).ok().and_then(|inode| inode.place).map(|(parent, _)| parent);
        let folder = folder.and_then(|parent| self.known(parent).ok()).map(|inode| inode.attr.node);
        let inherited = match folder {
            Some(folder) => self.remote.attr(NodeRequest { node: folder }).await?.flag,
            None => None,
        };
        let flag = inherited.or(self.options.flag).unwrap_or_default();
        if self.remote.attr(NodeRequest { node }).await?.flag != Some(flag) {
            self.protect(ino, node, flag).await?;
        }
        Ok(())
    }

    /// `xattr(7)`'s numbers where they differ: what is not there is ENODATA, what is too much is ENOSPC.
    fn other_refused(&self, error: RemoteError) -> Failure {
        let errno = match &error {
            RemoteError::Refused { code: Code::NotFound, .. } => Some(Errno::ENODATA),
            RemoteError::Refused { code: Code::TooLarge, .. } => Some(Errno::ENOSPC),
            RemoteError::Refused { code: Code::NameTooLong, .. } => Some(Errno::ERANGE),
            _ => None,
        };
        let failure = self.refused(error);
        Failure { errno: errno.unwrap_or(failure.errno), ..failure }
    }
}

fn as_text(value: &[u8]) -> Answer<&str> {
    std::str::from_utf8(value).map_err(|_| Failure::new(Errno::EINVAL, "the value is no text"))
}

/// As it is read: absolute, so that writing it back never extends it.
fn grant_text(grant: &GrantInfo) -> String {
    format!("{},{}", grant.right, grant.until)
}
