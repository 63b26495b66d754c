//! `3s rm`: deletes documents through the mount, and keeps what the server signs about it.
//!
//! With `--receipt`, all that could stand in the way is asked before the document goes: the file for the
//! receipt is made, the key to check it with is read. What can fail afterwards is the fetching, and that can
//! be done again: the error names the command. Costs beyond rm(1): two system calls to the mount, and the
//! server's erasure.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sss_common::durable::{Access, InPlace};
use sss_common::receipt::{Receipt, SignedReceipt};
use sss_common::{Advised, NodeId};
use sss_common::{complain, say};

use super::mountinfo::{self, Mounted};
use super::receipt::{self, Trusted};
use super::xattr;
use crate::cli::RmArgs;

/// Deletes; or, with `--again`, only fetches a receipt.
pub fn rm(args: &RmArgs) -> Result<(), Advised> {
    match (&args.receipt, args.again) {
        (None, _) => remove_all(&args.paths),
        (Some(file), None) => remove_with_receipt(one(&args.paths)?, file),
        (Some(file), Some(document)) => fetch_again(document, one(&args.paths)?, file),
    }
}

/// As rm(1): what cannot be removed is told, and the others go.
fn remove_all(paths: &[PathBuf]) -> Result<(), Advised> {
    let mut last = Ok(());
    for path in paths {
        if let Err(failure) = located(path).and_then(|(place, _)| remove(path, &place))
            && let Err(before) = std::mem::replace(&mut last, Err(failure))
        {
            complain!("3s: {before}");
        }
    }
    last
}

fn remove_with_receipt(path: &Path, file: &Path) -> Result<(), Advised> {
    let (place, mounted) = located(path)?;
    let document = document_at(path, &place)?;
    let key = Trusted::of_mount(&mounted)?;
    let reserved = Reserved::make(file)?;
    remove(path, &place)?;
    let shown = path.display();
    let received = receive(document, &mounted, key.as_ref()).and_then(|received| {
        reserved.fill(&received.signed)?;
        Ok(received)
    });
    let received = received.map_err(|failure| {
        let what = format!("{shown} is deleted, and its receipt is still to be had: {}", failure.what);
        Advised::new(what, again(document, &mounted.point, file))
    })?;
    say!("{shown} is deleted; {}", received.words(file));
    Ok(())
}

fn fetch_again(document: NodeId, mountpoint: &Path, file: &Path) -> Result<(), Advised> {
    let mounted = xattr::mount_of(mountpoint)?;
    let key = Trusted::of_mount(&mounted)?;
    let reserved = Reserved::make(file)?;
    let received = receive(document, &mounted, key.as_ref())?;
    reserved.fill(&received.signed)?;
    say!("document {document} is deleted; {}", received.words(file));
    Ok(())
}

fn one(paths: &[PathBuf]) -> Result<&PathBuf, Advised> {
    match paths {
        [path] => Ok(path),
        _ => Err(Advised::new(
            format!("a receipt is for one document, and {} were named", paths.len()),
            "delete them one by one, each with a --receipt FILE of its own",
        )),
    }
}

/// A path with its folder resolved and its last name as it is, so that a link is the link; and the mount
/// around it.
fn located(path: &Path) -> Result<(PathBuf, Mounted), Advised> {
    let place = in_real_folder(path)?;
    match mountinfo::around(&place)? {
        Some(mounted) => Ok((place, mounted)),
        None => Err(Advised::new(
            format!("{} is not on a 3S mount", path.display()),
            "this rm is for documents below a mountpoint; `3s status` lists the mounts",
        )),
    }
}

fn in_real_folder(path: &Path) -> Result<PathBuf, Advised> {
    let failed = |what: String| {
        Advised::new(format!("{} cannot be found: {what}", path.display()), "check the path and its folder")
    };
    let absolute = std::path::absolute(path).map_err(|error| failed(error.to_string()))?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(failed("it names no file".into()));
    };
    let folder = folder.canonicalize().map_err(|error| failed(error.to_string()))?;
    Ok(folder.join(name))
}

fn remove(path: &Path, place: &Path) -> Result<(), Advised> {
    if place.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(Advised::new(
            format!("{} is a folder", path.display()),
            "name the documents in it; rmdir removes a folder that is empty",
        ));
    }
    std::fs::remove_file(place).map_err(|error| refused(path, "cannot be removed", &error))
}

fn refused(path: &Path, doing: &str, error: &std::io::Error) -> Advised {
    xattr::refused(path, doing, Errno::from_io_error(error).unwrap_or(Errno::IO))
}

/// The id by which the receipt is asked for once the document is gone.
fn document_at(path: &Path, place: &Path) -> Result<NodeId, Advised> {
    let meta = place.symlink_metadata().map_err(|error| refused(path, "cannot be removed", &error))?;
    if !meta.is_file() {
        return Err(Advised::new(
            format!("{} is a folder or a link, and was not removed", path.display()),
            "receipts are for documents; leave --receipt out",
        ));
    }
    let id = xattr::text(place, "user.3s.id")?.and_then(|id| id.parse().ok());
    id.ok_or_else(|| other_version(&path.display().to_string(), "its id"))
}

fn other_version(place: &str, what: &str) -> Advised {
    Advised::new(
        format!("{place}: the mount does not know {what}"),
        "the mount may be of another version of 3s: unmount, and mount again",
    )
}

/// A receipt that came, and was checked as far as it can be here.
struct Received {
    signed: SignedReceipt,
    receipt: Receipt,
    /// Which trusted key it is signed by, where there is one.
    signer: Option<String>,
}

/// Asks the mount for a receipt, and checks all that can be checked here.
fn receive(document: NodeId, mounted: &Mounted, key: Option<&Trusted>) -> Result<Received, Advised> {
    let point = mounted.point.display().to_string();
    let json = match xattr::read(&mounted.point, &format!("user.3s.receipt.{document}")) {
        Ok(json) => json,
        Err(Errno::NODATA) => return Err(other_version(&point, "receipts")),
        Err(Errno::NOENT) => {
            return Err(Advised::new(
                format!("{point}: there is no receipt of document {document} for you"),
                "there is one for who deleted the document and for the owner of the home; check the id",
            ));
        }
        Err(Errno::AGAIN) => {
            let why = xattr::why(&mounted.point).unwrap_or_else(|| "its keys are not erased yet".into());
            return Err(Advised::new(format!("{point}: {why}"), "try again later"));
        }
        Err(error) => return Err(xattr::refused(&mounted.point, "gives no receipt", error)),
    };
    let place = format!("the receipt of document {document}");
    let signed = SignedReceipt::from_json(json.as_bytes()).map_err(|_| other_version(&place, "its form"))?;
    let receipt = receipt::about(document, &place, &signed)?;
    let signer = key.map(|key| key.check(&place, &signed)).transpose()?;
    Ok(Received { signed, receipt, signer })
}

impl Received {
    /// The end of the one line that is printed.
    fn words(&self, file: &Path) -> String {
        let keys = match &self.receipt.erasure {
            Some(erasure) => format!("its keys are erased (epoch {})", erasure.epoch),
            None => "it had no keys to erase".into(),
        };
        let signature = match &self.signer {
            Some(signer) => format!("signature: good ({signer})"),
            None => format!("signature not checked: 3s verify {} --server-key server.pub", shell(file)),
        };
        format!("{keys}; receipt: {}; {signature}", file.display())
    }
}

/// The command that fetches a receipt again.
fn again(document: NodeId, mountpoint: &Path, file: &Path) -> String {
    format!("3s rm --receipt {} --again {document} {}", shell(file), shell(mountpoint))
}

/// A path as one word for a shell.
fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    match !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A new, empty file that waits for its receipt; removed again if none comes.
struct Reserved {
    file: InPlace,
    filled: bool,
}

impl Reserved {
    fn make(path: &Path) -> Result<Self, Advised> {
        let shown = path.display();
        let nothing = "nothing was deleted; name a new file in a folder of yours outside of the store";
        let place = in_real_folder(path).map_err(|failure| Advised::new(failure.what, nothing))?;
        if mountinfo::around(&place)?.is_some() {
            let what = format!(
                "{shown} is on a 3S mount: a receipt kept there could be deleted with what it tells of"
            );
            return Err(Advised::new(what, nothing));
        }
        let file = InPlace::make(&place, Access::Secret).map_err(|failed| match failed.cause.kind() {
            ErrorKind::AlreadyExists => Advised::new(format!("{shown} exists already"), nothing),
            _ => Advised::new(format!("{shown} cannot be made: {}", failed.cause), nothing),
        })?;
        Ok(Reserved { file, filled: false })
    }

    /// Returns when the receipt is durable under its name.
    fn fill(mut self, signed: &SignedReceipt) -> Result<(), Advised> {
        let written = serde_json::to_string_pretty(signed)
            .map_err(std::io::Error::from)
            .and_then(|json| self.file.fill(format!("{json}\n").as_bytes()).map_err(|failed| failed.cause));
        self.filled = written.is_ok();
        written.map_err(|error| {
            Advised::new(
                format!("{} cannot be written: {error}", self.file.path().display()),
                "see that the disk has room",
            )
        })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.filled {
            // It is ours: nobody else could have made it.
            let _ = std::fs::remove_file(self.file.path());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_receipts_file_is_new_private_and_goes_when_it_stays_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("receipt");
        drop(Reserved::make(&path).unwrap());
        assert!(!path.exists());
        let signed = SignedReceipt::new("statement".into(), b"signature");
        Reserved::make(&path).unwrap().fill(&signed).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SignedReceipt::from_json(&std::fs::read(&path).unwrap()), Ok(signed));
        for there in ["receipt", "link"] {
            let there = dir.path().join(there);
            let _ = std::os::unix::fs::symlink("nowhere", dir.path().join("link"));
            let failure = Reserved::make(&there).err().unwrap();
            assert!(failure.what.contains("exists already") && failure.hint.contains("nothing was deleted"));
        }
        let failure = Reserved::make(&dir.path().join("none/receipt")).err().unwrap();
        assert!(failure.what.contains("cannot be found") && failure.hint.contains("nothing was deleted"));
        let failure = Reserved::make(Path::new("/proc/receipt")).err().unwrap();
        assert!(failure.what.contains("cannot be made") && failure.hint.contains("nothing was deleted"));
    }

    #[test]
    fn commands_can_be_pasted_into_a_shell() {
        let id = NodeId([0xab; 16]);
        let hex = "ab".repeat(16);
        assert_eq!(
            again(id, Path::new("/mnt/store"), Path::new("a.receipt")),
            format!("3s rm --receipt a.receipt --again {hex} /mnt/store")
        );
        assert_eq!(shell(Path::new("it's mine")), r"'it'\''s mine'");
        assert_eq!(shell(Path::new("-x")), "'-x'");
        assert_eq!(shell(Path::new("$HOME")), "'$HOME'");
    }

    #[test]
    fn what_is_no_document_on_a_mount_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "x").unwrap();
        let args =
            RmArgs { receipt: None, again: None, paths: vec![file.clone(), "/".into(), "/no/f".into()] };
        let failure = rm(&args).unwrap_err();
        assert!(failure.what.contains("/no/f cannot be found"), "{failure}");
        let receipt = dir.path().join("r");
        let args = RmArgs { receipt: Some(receipt.clone()), paths: vec![file.clone()], ..args };
        assert!(rm(&args).unwrap_err().what.contains("is not on a 3S mount"));
        let args = RmArgs { paths: vec![file.clone(), file.clone()], ..args };
        assert!(rm(&args).unwrap_err().what.contains("2 were named"));
        assert!(file.exists() && !receipt.exists());
    }
}
