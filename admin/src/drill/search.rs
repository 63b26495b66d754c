//! Raw bytes: the scratch copy's files, and the disk image that they lie on with its free space.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::scratch::{Scratch, at};
use sss_server::run::Advice;
use sss_vault::thief::Secrets;

/// Bytes that are looked at at a time.
const PIECE: usize = 4 << 20;

/// What to do about a place that cannot be searched.
const READABLE: &str = "the drill must be able to read it; for a device it runs as root";

/// What is to be searched, and the proof that searching finds.
pub struct Search {
    image: Option<Image>,
    control: Vec<u8>,
}

impl Search {
    /// Opens the image, if there is one; refuses one that cannot be read.
    pub fn begin(image: Option<PathBuf>) -> anyhow::Result<Search> {
        let image = image.map(Image::open).transpose()?;
        let control = format!("3S drill control {:032x}", rand::random::<u128>()).into_bytes();
        Ok(Search { image, control })
    }

    /// Writes a file to the scratch folder and removes it, last of all: the search must find that in the image's free
    /// space, or it is not the image that the folder lies on.
    fn leave_control(&self, scratch: &Scratch) -> anyhow::Result<()> {
        let path = scratch.place("control");
        let written = File::create_new(&path).and_then(|mut file| {
            file.write_all(&self.control.repeat(256))?;
            file.sync_all()
        });
        written.and_then(|()| std::fs::remove_file(&path)).map_err(|e| at(&path, &e))?;
        let folder = File::open(scratch.folder()).map_err(|e| at(scratch.folder(), &e))?;
        rustix::fs::syncfs(&folder).map_err(|e| at(scratch.folder(), &e.into()))
    }

    /// The image, if there is one.
    pub(super) fn image(&self) -> Option<&Image> {
        self.image.as_ref()
    }

    /// Looks for erased secrets and for plaintext in every file of the scratch copy, and in the image.
    pub(super) fn run(
        &self,
        scratch: &Scratch,
        secrets: &Secrets,
        mark: &[u8],
    ) -> anyhow::Result<Vec<Place>> {
        let mut places = vec![Place::new("the scratch copy's files")];
        let mut files = vec![scratch.paths().keyring.clone()];
        list(scratch.folder(), &mut files)?;
        for file in files {
            places[0].look(secrets, mark, &self.control, |reach, look| pieces_of(&file, reach, look))?;
        }
        if let Some(image) = &self.image {
            self.leave_control(scratch)?;
            let mut place = Place::new(&image.path.display().to_string());
            place.look(secrets, mark, &self.control, |reach, look| image.pieces(reach, look))?;
            if place.controls == 0 {
                bail!(
                    "{}: a file that was written to {} and removed is not found in it\n\
                     name the device or image that the scratch copy lies on; one that discards or encrypts cannot be searched",
                    image.path.display(),
                    scratch.folder().display()
                );
            }
            places.push(place);
        }
        Ok(places)
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| at(folder, &e))? {
        let path = entry.map_err(|e| at(folder, &e))?.path();
        // Links lead to the store's own key files.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// What was found in a place.
pub(super) struct Place {
    name: String,
    bytes: u64,
    secrets: usize,
    marks: usize,
    controls: usize,
}

impl Place {
    fn new(name: &str) -> Self {
        Place { name: name.into(), bytes: 0, secrets: 0, marks: 0, controls: 0 }
    }

    fn look(
        &mut self,
        secrets: &Secrets,
        mark: &[u8],
        control: &[u8],
        pieces: impl FnOnce(usize, &mut dyn FnMut(&[u8])) -> anyhow::Result<u64>,
    ) -> anyhow::Result<()> {
        let reach = secrets.longest().max(mark.len()).max(control.len());
        self.bytes += pieces(reach, &mut |piece| {
            let seen = |what: &[u8]| usize::from(memchr::memmem::find(piece, what).is_some());
            self.secrets += secrets.count_in(piece);
            self.marks += seen(mark);
            self.controls += seen(control);
        })?;
        Ok(())
    }

    /// Neither a secret nor plaintext.
    pub(super) fn is_clean(&self) -> bool {
        self.secrets == 0 && self.marks == 0 && self.bytes > 0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, mib) = (&self.name, self.bytes.div_ceil(1 << 20));
        match (self.secrets, self.marks) {
            (0, 0) => write!(f, "no erased key and no plaintext in the {mib} MiB of {name}"),
            (secrets, marks) => write!(f, "{secrets} erased keys and {marks} pieces of plaintext in {name}"),
        }
    }
}

/// A disk or disk image. It stays open: who may open it at the begin need not later.
pub(super) struct Image {
    file: File,
    path: PathBuf,
}

impl Image {
    fn open(path: PathBuf) -> anyhow::Result<Image> {
        let file = File::open(&path).map_err(|e| at(&path, &e)).advice(READABLE)?;
        Ok(Image { file, path })
    }

    /// Goes through all of it, as [`pieces`] does, and as it is on the disk now.
    pub(super) fn pieces(&self, reach: usize, look: &mut dyn FnMut(&[u8])) -> anyhow::Result<u64> {
        let mut file = &self.file;
        // What a mounted disk's own file system writes passes by the pages that an earlier walk left in memory.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
        file.rewind().map_err(|e| at(&self.path, &e)).advice(READABLE)?;
        pieces(file, &self.path, reach, look)
    }
}

/// The same for a file. One that is gone is passed over.
pub(super) fn pieces_of(path: &Path, reach: usize, look: &mut dyn FnMut(&[u8])) -> anyhow::Result<u64> {
    match File::open(path) {
        Ok(file) => pieces(file, path, reach, look),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(at(path, &error)).advice(READABLE),
    }
}

/// Goes through what is read in pieces that overlap by `reach` bytes. Returns its bytes.
fn pieces(
    mut file: impl Read,
    path: &Path,
    reach: usize,
    look: &mut dyn FnMut(&[u8]),
) -> anyhow::Result<u64> {
    let (mut bytes, mut total) = (Vec::with_capacity(PIECE + reach), 0);
    loop {
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut bytes);
        let read = read.map_err(|e| at(path, &e)).advice(READABLE)?;
        total += read as u64;
        if read == 0 {
            return Ok(total);
        }
        look(&bytes);
        bytes.drain(..bytes.len().saturating_sub(reach));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_lies_across_two_pieces_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw");
        let needle = b"a needle of some length";
        for at in [0, PIECE - 10, PIECE, 2 * PIECE - 1, 2 * PIECE + 5] {
            let mut bytes = vec![7; 2 * PIECE + 100];
            bytes[at..at + needle.len()].copy_from_slice(needle);
            std::fs::write(&path, &bytes).unwrap();
            let mut found = false;
            let total = pieces_of(&path, needle.len(), &mut |piece| {
                found |= memchr::memmem::find(piece, needle).is_some()
            });
            assert_eq!(total.unwrap(), bytes.len() as u64);
            assert!(found, "at {at}");
        }
        assert_eq!(pieces_of(&folder.path().join("none"), 5, &mut |_| panic!("nothing to see")).unwrap(), 0);
    }
}
