#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use proptest::prelude::*;
use rsa::pkcs8::LineEnding;
use rsa::pkcs8::{Document, SecretDocument};

use super::*;

const OF: BackupHeader = BackupHeader { store: StoreId([0x44; 16]), time: Timestamp(1_795_359_845_000) };
const HEAD: usize = HEADER + 2 + 384;
const SEALED: usize = BLOCK_SIZE + TAG_BYTES;

/// A pair of 3072 bits, in a folder that stays until the tests end.
fn pair() -> (PathBuf, PathBuf) {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path(), KeySize::Rsa3072);
        folder
    });
    (folder.path().join("key"), folder.path().join("pub"))
}

fn write_pair(folder: &Path, size: KeySize) {
    let key = PrivateDecryptingKey::generate(size).unwrap();
    let private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let private = SecretDocument::try_from(private.as_ref()).unwrap();
    let public = Document::try_from(key.public_key().as_der().unwrap().as_ref()).unwrap();
    std::fs::write(folder.join("key"), private.to_pem("PRIVATE KEY", LineEnding::LF).unwrap()).unwrap();
    std::fs::write(folder.join("pub"), public.to_pem("PUBLIC KEY", LineEnding::LF).unwrap()).unwrap();
}

fn keys() -> (BackupPublicKey, BackupPrivateKey) {
    let (private, public) = pair();
    (BackupPublicKey::read(&public).unwrap(), BackupPrivateKey::read(&private).unwrap())
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 7) as u8).collect()
}

/// Written in pieces that fit no block.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut sealer = BackupSealer::begin(&keys().0, OF, Vec::new()).unwrap();
    content.chunks(10_007).for_each(|piece| sealer.write_all(piece).unwrap());
    sealer.finish().unwrap()
}

/// All that comes out, and whether it said that it was all.
fn opened(bytes: &[u8]) -> (Vec<u8>, Result<BackupHeader, String>) {
    let mut content = Vec::new();
    let mut opener = match BackupOpener::begin(&keys().1, bytes) {
        Ok(opener) => opener,
        Err(why) => return (content, Err(format!("{why}\n{}", why.way_on()))),
    };
    let read = opener.read_to_end(&mut content);
    (content, read.map(|_| opener.header()).map_err(|error| error.to_string()))
}

#[test]
fn backups_round_trip() {
    for length in [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE, 3 * BLOCK_SIZE + 77] {
        let content = content(length);
        let bytes = sealed(&content);
        let blocks = length.div_ceil(BLOCK_SIZE).max(1);
        assert_eq!(bytes.len(), HEAD + length + blocks * TAG_BYTES);
        let (found, said) = opened(&bytes);
        assert_eq!(said, Ok(OF), "{length}");
        assert!(found == content, "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_flipped_bit_anywhere_is_an_error(at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let content = content(2 * BLOCK_SIZE + 500);
        let mut bytes = sealed(&content);
        // Half of them in the head, which is a small part.
        let at = if bit % 2 == 0 { at.index(HEAD) } else { at.index(bytes.len()) };
        bytes[at] ^= 1 << bit;
        let (found, said) = opened(&bytes);
        prop_assert!(said.is_err());
        prop_assert!(content.starts_with(&found), "nothing but what was sealed comes out");
    }

    #[test]
    fn a_cut_anywhere_is_an_error(at in any::<proptest::sample::Index>()) {
        let bytes = sealed(&content(2 * BLOCK_SIZE + 500));
        prop_assert!(opened(&bytes[..at.index(bytes.len())]).1.is_err());
    }

    #[test]
    fn foreign_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600), magic in any::<bool>()) {
        let bytes = if magic { [&MAGIC[..], &[VERSION, 1, 16, 1], &bytes].concat() } else { bytes };
        prop_assert!(opened(&bytes).1.is_err());
    }
}

#[test]
fn cuts_at_a_blocks_end_exchanges_and_repeats_are_errors() {
    let bytes = sealed(&content(3 * BLOCK_SIZE));
    let block = |n: usize| &bytes[HEAD + n * SEALED..HEAD + (n + 1) * SEALED];
    for (blocks, found) in [(0, 0), (1, 0), (2, 1)] {
        let (content, said) = opened(&bytes[..HEAD + blocks * SEALED]);
        assert_eq!(
            content.len(),
            found * BLOCK_SIZE,
            "the last block that is there does not say that it is the last"
        );
        let said = said.unwrap_err();
        assert!(said.contains(&format!("block {found} ")) && said.contains("cut"), "{said}");
    }
    for order in [&[1, 0, 2][..], &[0, 0, 1, 2], &[0, 2], &[0, 1, 2, 2]] {
        let mixed: Vec<&[u8]> =
            std::iter::once(&bytes[..HEAD]).chain(order.iter().map(|n| block(*n))).collect();
        assert!(opened(&mixed.concat()).1.is_err(), "{order:?}");
    }
    // A block of another backup of the same store under the same pair.
    let mut other = sealed(&content(3 * BLOCK_SIZE));
    other[HEAD..HEAD + SEALED].copy_from_slice(block(0));
    assert!(opened(&other).1.is_err());
}

#[test]
fn after_a_write_that_failed_nothing_is_sealed_any_more() {
    /// Full once, and never again.
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 == 2 { Err(ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sealer = BackupSealer::begin(&keys().0, OF, Full(0)).unwrap();
    let failed = sealer.write_all(&content(BLOCK_SIZE + 1)).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::StorageFull);
    assert!(sealer.write_all(b"more").is_err());
    assert!(sealer.finish().is_err());
}

#[test]
fn the_head_says_what_is_wrong() {
    let bytes = sealed(b"x");
    let changed = |at: usize, to: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        opened(&bytes).1.unwrap_err()
    };
    assert!(changed(0, b'4').contains("not a backup"));
    assert!(changed(4, 9).contains("format 9"));
    assert!(changed(5, 9).contains("damaged"));
    assert!(changed(6, 17).contains("damaged"));
    assert!(changed(32, 9).contains("damaged"), "a wrapped key of a length that no key has");
    assert!(changed(10, 9).contains("does not open"), "the store's id is bound");
    assert!(changed(31, 9).contains("does not open"), "and so is the time");
    assert!(opened(b"").1.unwrap_err().contains("not a backup"));
    assert!(opened(&bytes[..20]).1.unwrap_err().contains("cut"));
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path(), KeySize::Rsa3072);
    let other = BackupPrivateKey::read(&folder.path().join("key")).unwrap();
    assert!(matches!(BackupOpener::begin(&other, &bytes[..]).err(), Some(NotABackup::WrongKey)));
}

#[test]
fn keys_that_do_not_fit_are_refused_with_a_way_on() {
    let (private, public) = pair();
    let words = |error: Option<VaultError>| {
        let text = error.unwrap().to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        text
    };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("file");
    let public_words = |path: &Path| words(BackupPublicKey::read(path).err());
    let private_words = |path: &Path| words(BackupPrivateKey::read(path).err());
    assert!(public_words(&at).contains("openssl genpkey"));
    assert!(public_words(&private).contains("this is a private key"));
    assert!(private_words(&public).contains("this is a public key"));
    std::fs::write(&at, "no key at all").unwrap();
    assert!(public_words(&at).contains("no RSA public key"));
    assert!(private_words(&at).contains("no RSA private key"));
    std::fs::write(&at, [0xff; 100]).unwrap();
    assert!(public_words(&at).contains("no key"));
    std::fs::write(&at, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
        .unwrap();
    assert!(private_words(&at).contains("/dev/shm"));
    write_pair(folder.path(), KeySize::Rsa2048);
    let short = public_words(&folder.path().join("pub"));
    assert!(short.contains("2048 bits") && short.contains("3072"), "{short}");
    let key = BackupPublicKey::read(&public).unwrap();
    assert!(key.is_half_of(&public) && !key.is_half_of(&folder.path().join("pub")));
}
