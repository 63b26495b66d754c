//! Answers as fuser's replies. Each says what the program hears, for the span of its request.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fuser::*;
use sss_common::limits::{BLOCK_SIZE, NAME_MAX};
use sss_common::wire::fs::StatfsResponse;

use super::span::Outcome;
use crate::fs::dir::DirItem;
use crate::fs::{Answer, Failure, Fs};

const GENERATION: Generation = Generation(0);

/// Answers a call: `good` with what it made, or the reply's `error`.
macro_rules! reply {
    ($answer:expr, $reply:ident, $value:pat => $good:expr) => {
        match $answer {
            Ok($value) => {
                $good;
                Ok(())
            }
            Err(Failure { errno, .. }) => {
                $reply.error(errno);
                Err(errno)
            }
        }
    };
}

pub(super) fn entry(fs: &Fs, answer: Answer<FileAttr>, reply: ReplyEntry) -> Outcome {
    reply!(answer, reply, attr => reply.entry(&fs.believed(attr.ino), &attr, GENERATION))
}

pub(super) fn attr(fs: &Fs, answer: Answer<FileAttr>, reply: ReplyAttr) -> Outcome {
    reply!(answer, reply, attr => reply.attr(&fs.believed(attr.ino), &attr))
}

pub(super) fn empty(answer: Answer<()>, reply: ReplyEmpty) -> Outcome {
    reply!(answer, reply, () => reply.ok())
}

pub(super) fn data(answer: Answer<Bytes>, reply: ReplyData) -> Outcome {
    reply!(answer, reply, bytes => reply.data(&bytes))
}

pub(super) fn written(answer: Answer<usize>, reply: ReplyWrite) -> Outcome {
    reply!(answer, reply, written => reply.written(u32::try_from(written).unwrap_or(u32::MAX)))
}

pub(super) fn opened(answer: Answer<FileHandle>, flags: FopenFlags, reply: ReplyOpen) -> Outcome {
    reply!(answer, reply, fh => reply.opened(fh, flags))
}

pub(super) fn created(
    fs: &Fs,
    answer: Answer<(FileAttr, FileHandle)>,
    flags: FopenFlags,
    reply: ReplyCreate,
) -> Outcome {
    reply!(answer, reply, (attr, fh) => reply.created(&fs.believed(attr.ino), &attr, GENERATION, fh, flags))
}

pub(super) fn xattr(answer: Answer<Vec<u8>>, size: u32, reply: ReplyXattr) -> Outcome {
    let fits = |value: &[u8]| size == 0 || value.len() <= size as usize;
    let answer = answer.and_then(|value| match fits(&value) {
        true => Ok(value),
        false => Err(Failure::new(Errno::ERANGE, "the buffer is too small for the value")),
    });
    reply!(answer, reply, value => match size {
        0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        _ => reply.data(&value),
    })
}

pub(super) fn statfs(answer: Answer<StatfsResponse>, reply: ReplyStatfs) -> Outcome {
    let block = BLOCK_SIZE as u64;
    reply!(answer, reply, room => {
        let free = room.available / block;
        reply.statfs(room.total / block, free, free, 0, 0, block as u32, NAME_MAX as u32, block as u32);
    })
}

/// Entries without attributes, from `offset` on, as many as fit.
pub(super) fn names(
    fs: &Fs,
    answer: Answer<Vec<DirItem>>,
    offset: u64,
    mut reply: ReplyDirectory,
) -> Outcome {
    reply!(answer, reply, items => {
        for (next, item) in (offset + 1..).zip(items) {
            let full = match item {
                DirItem::Dot(name, ino) => reply.add(ino, next, FileType::Directory, name),
                DirItem::Entry(entry, _) => {
                    let (ino, kind) = fs.hint(&entry.attr);
                    reply.add(ino, next, kind, entry.name.as_str())
                }
            };
            if full {
                break;
            }
        }
        reply.ok();
    })
}

/// Entries of `folder` with attributes, from `offset` on, as many as fit; each that is added counts one lookup.
pub(super) fn entries(
    fs: &Fs,
    folder: INodeNo,
    answer: Answer<Vec<DirItem>>,
    offset: u64,
    mut reply: ReplyDirectoryPlus,
) -> Outcome {
    reply!(answer, reply, items => {
        for (next, item) in (offset + 1..).zip(items) {
            let full = match item {
                DirItem::Dot(name, dot) => add_dot(&mut reply, next, name, dot),
                DirItem::Entry(entry, at) => {
                    let Ok((attr, ttl)) = fs.bind(folder, &entry, at) else { continue };
                    let full = reply.add(attr.ino, next, entry.name.as_str(), &ttl, &attr, GENERATION);
                    if full {
                        fs.forget(attr.ino, 1);
                    }
                    full
                }
            };
            if full {
                break;
            }
        }
        reply.ok();
    })
}

/// The kernel passes over the attributes of `.` and `..`.
fn add_dot(reply: &mut ReplyDirectoryPlus, next: u64, name: &str, ino: INodeNo) -> bool {
    let epoch = SystemTime::UNIX_EPOCH;
    let attr = FileAttr {
        ino,
        size: 0,
        blocks: 0,
        atime: epoch,
        mtime: epoch,
        ctime: epoch,
        crtime: epoch,
        kind: FileType::Directory,
        perm: 0o700,
        nlink: 2,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    };
    reply.add(ino, next, name, &Duration::ZERO, &attr, GENERATION)
}
