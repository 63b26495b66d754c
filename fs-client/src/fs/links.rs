//! Symbolic links. One of the user's own, in the user's own home, leads where it says. One that somebody else made, or saved last, or
//! that lies where others can move it, leads to something in the mount or nowhere: it would have the user read or write what its
//! maker names on the user's own machine.
//!
//! The kernel walks on after it was answered, and what lies on the way may be another thing by then. So each link must be safe whatever
//! lies there: it may lead up only at its beginning, and no further than to the root. What is a link by then, the kernel asks about
//! by itself. Beyond that the way is walked here, for the user's own links on it: those may lead out, and are asked about by nobody.
//!
//! Costs: two round trips for a link; for one of others one more for each name on the way, and two for each further link.

use bytes::Bytes;
use fuser::{Errno, INodeNo};
use sss_common::limits::{DEPTH_MAX, SYMLINK_MAX};
use sss_common::wire::fs::{Attr, HomeRequest, LookupRequest, OpenRequest, Pin};
use sss_common::{Kind, NodeId, Right};

use super::{Answer, Failure, Fs};
use crate::remote::RemoteError;
use crate::tree::{ROOT, SELF};

/// Links that one way may lead over, as in the kernel (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Names that are looked up for one link.
const STEPS_MAX: usize = 1024;

/// How far a way has come: folders from the root of the mount on.
#[derive(Clone, Copy)]
enum Folder {
    Known(NodeId),
    /// Not there, not to be seen, or no folder: the kernel will find out, and nothing below it leads up past it.
    Unknown,
}

impl Fs {
    /// A symbolic link's target: its content.
    pub async fn readlink(&self, ino: INodeNo) -> Answer<Bytes> {
        let answer = self.target(ino).await;
        self.noted(ino, "readlink", answer)
    }

    async fn target(&self, ino: INodeNo) -> Answer<Bytes> {
        if ino == SELF {
            return Ok(Bytes::from_static(b"."));
        }
        self.live()?;
        let node = self.node(ino).await?;
        let (attr, target) = self.content_of_link(node).await.map_err(|error| self.refused(error))?;
        let whole = (1..=SYMLINK_MAX).contains(&target.len()) && !target.contains(&0);
        let text = std::str::from_utf8(&target).ok().filter(|_| whole);
        let text =
            text.ok_or_else(|| Failure::new(Errno::EIO, "the link has a target that cannot be one"))?;
        if !self.options.follow_symlinks {
            let way = self.folders_above(ino)?;
            if way.foreign || !self.is_own(&attr) {
                self.must_stay_inside(ino, way.folders, &attr, text).await?;
            }
        }
        Ok(target)
    }

    /// What a link is, and its content.
    async fn content_of_link(&self, node: NodeId) -> Result<(Attr, Bytes), RemoteError> {
        let attr = self.remote.open(OpenRequest { node, want: Right::Checkout, version: None }).await?;
        let pin = Pin { node, version: attr.version };
        let length = usize::try_from(attr.size).unwrap_or(usize::MAX).min(SYMLINK_MAX + 1);
        let target = self.remote.read(pin, 0, length).await;
        self.shared.closer.give_back(pin);
        Ok((attr, target?))
    }

    fn is_own(&self, attr: &Attr) -> bool {
        let me = self.remote.uid();
        attr.owner == *me && attr.author.as_ref().is_none_or(|author| author == me)
    }

    async fn must_stay_inside(
        &self,
        ino: INodeNo,
        way: Vec<Folder>,
        attr: &Attr,
        target: &str,
    ) -> Answer<()> {
        match self.stays_inside(way, target).await? {
            true => Ok(()),
            false => {
                let by = attr.author.as_ref().unwrap_or(&attr.owner);
                let failure = Failure::new(
                    Errno::EACCES,
                    format!(
                        "the link is {by}'s and leads out of the mount, to {target}; a mount with -o follow_symlinks follows it"
                    ),
                );
                // The kernel asks no link for `user.*` attributes: its folder tells.
                if let Some((folder, _)) = self.known(ino)?.place {
                    self.refusals.remember(folder, &failure);
                }
                Err(failure)
            }
        }
    }

    /// The folders in which a link lies, from the root on.
    fn folders_above(&self, ino: INodeNo) -> Answer<Way> {
        let (mut way, mut foreign) = (Vec::new(), false);
        let mut at = ino;
        while at != ROOT {
            let place = self.known(at)?.place;
            let Some((parent, name)) = place.filter(|_| way.len() <= DEPTH_MAX + 1) else {
                return Err(Failure::new(Errno::ESTALE, "the link is not known under a name here any more"));
            };
            way.push(Folder::Known(self.known(parent)?.attr.node));
            foreign = parent == ROOT && name.is_owner_link();
            at = parent;
        }
        way.reverse();
        Ok(Way { folders: way, foreign })
    }

    /// Goes the way that the kernel would, over links too, the user's own among them.
    async fn stays_inside(&self, mut way: Vec<Folder>, target: &str) -> Answer<bool> {
        if !leads_up_first(target) {
            return Ok(false);
        }
        let parts = |target: &str| target.split('/').rev().map(str::to_owned).collect::<Vec<_>>();
        let (mut ahead, mut links, mut steps) = (parts(target), 0, 0);
        while let Some(name) = ahead.pop() {
            steps += 1;
            if steps > STEPS_MAX {
                return Err(Failure::new(Errno::ELOOP, "the link leads a way that is too long"));
            }
            match name.as_str() {
                "" | "." => {}
                ".." if way.len() <= 1 => return Ok(false),
                ".." => drop(way.pop()),
                name => match self.step(&way, name).await? {
                    Step::Into(folder) => way.push(folder),
                    Step::Home => way.truncate(1),
                    Step::Link(node) => {
                        links += 1;
                        if links > LINKS_MAX {
                            return Err(Failure::new(Errno::ELOOP, "the link leads over too many others"));
                        }
                        match self.content_of_link(node).await {
                            Ok((_, next)) => match std::str::from_utf8(&next) {
                                Ok(next) if leads_up_first(next) => ahead.extend(parts(next)),
                                _ => return Ok(false),
                            },
                            Err(RemoteError::Refused { .. }) => way.push(Folder::Unknown),
                            Err(error) => return Err(self.refused(error)),
                        }
                    }
                },
            }
        }
        Ok(true)
    }

    /// One name further.
    async fn step(&self, way: &[Folder], name: &str) -> Answer<Step> {
        let Some(Folder::Known(parent)) = way.last().copied() else { return Ok(Step::Into(Folder::Unknown)) };
        let found = match name.strip_prefix('@').filter(|_| way.len() == 1) {
            Some(owner) if owner == self.remote.uid().as_str() => return Ok(Step::Home),
            Some(owner) => match owner.parse() {
                Ok(uid) => self.remote.home(HomeRequest { uid }).await,
                Err(_) => return Ok(Step::Into(Folder::Unknown)),
            },
            None => match name.parse() {
                Ok(name) => self.remote.lookup(LookupRequest { parent, name }).await,
                Err(_) => return Ok(Step::Into(Folder::Unknown)),
            },
        };
        match found {
            Ok(attr) if attr.kind == Kind::Symlink => Ok(Step::Link(attr.node)),
            Ok(attr) if attr.kind == Kind::Folder => Ok(Step::Into(Folder::Known(attr.node))),
            Ok(_) | Err(RemoteError::Refused { .. }) => Ok(Step::Into(Folder::Unknown)),
            Err(error) => Err(self.refused(error)),
        }
    }
}

/// The folders above a link, and whether it lies in somebody else's home.
struct Way {
    folders: Vec<Folder>,
    foreign: bool,
}

/// Whether a target is relative, and has its `..` at its beginning only: behind a name it would depend on what that name is.
fn leads_up_first(target: &str) -> bool {
    let mut names =
        target.split('/').filter(|name| !matches!(*name, "" | ".")).skip_while(|name| *name == "..");
    !target.starts_with('/') && names.all(|name| name != "..")
}

enum Step {
    Into(Folder),
    /// The user's own home, by its name: the root.
    Home,
    Link(NodeId),
}
