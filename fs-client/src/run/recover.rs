//! `3s recover`: lists, gives back or discards the drafts that mounts kept on this machine (see [`crate::recovery`]).

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sss_common::Advised;
use sss_common::durable::{Access, NewFile};

use crate::cli::RecoverArgs;
use crate::identity::{UserKey, load_user_key};
use crate::recovery::store::{self, Kept};
use crate::recovery::{Header, Part, Unreadable};

/// Copies of one name that `--to` makes at most.
const NAMES_MAX: u32 = 1000;

/// Runs the command.
pub fn recover(args: &RecoverArgs) -> Result<(), Advised> {
    let kept = store::folder().map(|folder| store::all(&folder)).unwrap_or_default();
    if kept.is_empty() {
        println!("nothing is kept");
        return Ok(());
    }
    let mut keys = Keys::new(args.identity.clone());
    match &args.to {
        Some(folder) => give_all_back(&kept, &mut keys, folder),
        None if args.discard => discard(kept),
        None => {
            kept.iter().for_each(|kept| println!("{}", line(kept, &mut keys)));
            Ok(())
        }
    }
}

/// The user keys that open what is kept, each read once.
pub struct Keys {
    identity: Option<PathBuf>,
    read: HashMap<PathBuf, Result<UserKey, Advised>>,
}

impl Keys {
    /// Of one ID_DIR, or of those that the mounts used.
    pub fn new(identity: Option<PathBuf>) -> Self {
        Keys { identity, read: HashMap::new() }
    }

    fn of(&mut self, kept: &Kept) -> Result<&UserKey, Advised> {
        let dir = self.identity.as_ref().unwrap_or(&kept.label.identity);
        let key = self.read.entry(dir.clone()).or_insert_with(|| load_user_key(dir));
        key.as_ref().map_err(Clone::clone)
    }
}

/// What is kept, in one line for a person.
pub fn line(kept: &Kept, keys: &mut Keys) -> String {
    let said = keys.of(kept).and_then(|key| kept.open(key).map_err(|error| unreadable(kept, &error)));
    let whose = format!("{}: {}", kept.path.display(), kept.label.target);
    match said {
        Ok((header, _)) => format!(
            "{whose} {} ({} bytes, kept {}): {}",
            printable(&header.path()),
            header.size,
            header.kept_at,
            printable(&header.why)
        ),
        Err(failure) => format!("{whose}: {}", failure.what),
    }
}

/// Names are what somebody chose: they speak to no terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn unreadable(kept: &Kept, error: &Unreadable) -> Advised {
    let hint = match error {
        Unreadable::OtherKey => {
            "name the ID_DIR with the user.key that it was kept under, with --identity ID_DIR"
        }
        Unreadable::Foreign => "a newer 3s kept it: use that one",
        Unreadable::Damaged | Unreadable::Io(_) => "check the disk; a backup of the folder may have it whole",
    };
    Advised::new(format!("{}: {error}", kept.path.display()), hint)
}

/// Each that can be is given back; what cannot is told.
fn give_all_back(kept: &[Kept], keys: &mut Keys, folder: &Path) -> Result<(), Advised> {
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let mut last = Ok(());
    for kept in kept {
        let given = keys.of(kept).and_then(|key| give_back(kept, key, folder));
        if let Err(failure) = given
            && let Err(before) = std::mem::replace(&mut last, Err(failure))
        {
            eprintln!("3s: {before}");
        }
    }
    println!("they stay kept until a mount has made conflict copies of them, or until: 3s recover --discard");
    last
}

fn give_back(kept: &Kept, key: &UserKey, folder: &Path) -> Result<(), Advised> {
    for again in 0..NAMES_MAX {
        let (header, mut reader) = kept.open(key).map_err(|error| unreadable(kept, &error))?;
        let place = folder.join(name(&header, again));
        if place.symlink_metadata().is_ok() {
            continue;
        }
        let failed = |error: std::io::Error| unwritable(&place, &error);
        let file = NewFile::beside(&place, Access::Secret).map_err(|error| failed(error.into()))?;
        file.file().set_len(header.size).map_err(failed)?;
        let mut missing = 0;
        while let Some(part) = reader.part().map_err(|error| unreadable(kept, &error))? {
            match part {
                Part::Data(offset, bytes) => file.file().write_all_at(&bytes, offset).map_err(failed)?,
                Part::Zero(..) => {}
                Part::Missing(_, length) => missing += length,
            }
        }
        let made = file.sync().and_then(|staged| staged.create()).and_then(|placed| placed.settle());
        match made.map_err(std::io::Error::from) {
            Ok(()) => {}
            // Somebody was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(failed(error)),
        }
        println!("{} -> {}", printable(&header.path()), printable(&place.display().to_string()));
        if missing > 0 {
            let version = header.base.version;
            println!(
                "  {missing} of its {} bytes were never written here and could not be read from version {version} \
                 when it was kept: they are zeroes",
                header.size
            );
        }
        return Ok(());
    }
    Err(Advised::new(
        format!("{} holds too many files of one name", folder.display()),
        "choose an empty folder",
    ))
}

/// The document's name, and a number behind it when that is taken.
fn name(header: &Header, again: u32) -> String {
    match again {
        0 => header.name.to_string(),
        _ => format!("{}.{again}", header.name),
    }
}

fn unwritable(place: &Path, error: &std::io::Error) -> Advised {
    Advised::new(
        format!("{} cannot be written: {error}", place.display()),
        "choose a folder of yours with enough room",
    )
}

fn discard(kept: Vec<Kept>) -> Result<(), Advised> {
    for kept in kept {
        let shown = kept.path.display().to_string();
        let failed = |error: std::io::Error| {
            Advised::new(format!("{shown} cannot be discarded: {error}"), "check the folder and its disk")
        };
        match kept.claim().map_err(failed)? {
            Some(claimed) => {
                claimed.remove().map_err(failed)?;
                println!("{shown} is discarded");
            }
            None => println!("{shown} is in use: a mount still tries to check it in"),
        }
    }
    Ok(())
}
