//! Raw bytes: the scratch copy's files, and the disk image that they lie on with its free space.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
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
pub(super) struct Search {
    image: Option<PathBuf>,
    control: Vec<u8>,
}

impl Search {
    /// Refuses an image that cannot be read.
    pub(super) fn begin(image: Option<PathBuf>) -> anyhow::Result<Search> {
        if let Some(image) = &image {
            File::open(image).map_err(|e| at(image, &e)).advice(READABLE)?;
        }
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
    pub(super) fn image(&self) -> Option<&PathBuf> {
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
            places[0].look(&file, secrets, mark, &self.control)?;
        }
        if let Some(image) = &self.image {
            self.leave_control(scratch)?;
            let mut place = Place::new(&image.display().to_string());
            place.look(image, secrets, mark, &self.control)?;
            if place.controls == 0 {
                bail!(
                    "{}: a file that was written to {} and removed is not found in it\n\
                     name the device or image that the scratch copy lies on; one that discards or encrypts cannot be searched",
                    image.display(),
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

    fn look(&mut self, file: &Path, secrets: &Secrets, mark: &[u8], control: &[u8]) -> anyhow::Result<()> {
        let reach = secrets.longest().max(mark.len()).max(control.len());
        self.bytes += pieces(file, reach, |piece| {
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

/// Goes through a file in pieces that overlap by `reach` bytes. A file that is gone is passed over. Returns its bytes.
pub(super) fn pieces(path: &Path, reach: usize, mut look: impl FnMut(&[u8])) -> anyhow::Result<u64> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(at(path, &error)).advice(READABLE),
    };
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
            let total =
                pieces(&path, needle.len(), |piece| found |= memchr::memmem::find(piece, needle).is_some());
            assert_eq!(total.unwrap(), bytes.len() as u64);
            assert!(found, "at {at}");
        }
        assert_eq!(pieces(&folder.path().join("none"), 5, |_| panic!("nothing to see")).unwrap(), 0);
    }
}
