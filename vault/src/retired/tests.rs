#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::VaultError;
use crate::server_key::ServerKey;

/// Keys that take long to make.
fn keys() -> &'static [ServerKey; 2] {
    static KEYS: OnceLock<[ServerKey; 2]> = OnceLock::new();
    KEYS.get_or_init(|| [0, 1].map(|_| ServerKey::generate().unwrap().0))
}

fn words<T>(result: Result<T>) -> String {
    let Err(VaultError::Keys(text)) = result else { panic!("not a refusal") };
    assert_eq!(text.lines().count(), 2, "{text}");
    text
}

#[test]
fn keys_are_added_once_and_what_they_signed_stays_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("retired.pub");
    let [a, b] = keys();
    assert!(!Retired::read(&path).unwrap().verify(b"message", &a.sign(b"message").unwrap()));
    for key in [a, b, a, b] {
        Retired::add(&path, key.public_pem()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, [a.public_pem(), b.public_pem()].concat(), "oldest first, each once");
    let retired = Retired::read(&path).unwrap();
    assert_eq!(retired.pems().collect::<Vec<_>>(), [b.public_pem(), a.public_pem()]);
    for key in [a, b] {
        let signature = key.sign(b"message").unwrap();
        assert!(retired.verify(b"message", &signature) && !retired.verify(b"massage", &signature));
    }
    // As an editor or another system leaves it.
    std::fs::write(&path, format!("\n{}\n", text.replace('\n', "\r\n"))).unwrap();
    assert_eq!(Retired::read(&path).unwrap().0.len(), 2);
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("retired.pub");
    let [a, b] = keys();
    let good = [a.public_pem(), b.public_pem()].concat();
    let short = {
        use aws_lc_rs::encoding::AsDer;
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public = aws_lc_rs::rsa::PrivateDecryptingKey::from_pkcs8(private.as_ref()).unwrap().public_key();
        let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = public.as_der().unwrap();
        Document::try_from(spki.as_ref()).unwrap().to_pem(PUBLIC_LABEL, LineEnding::LF).unwrap()
    };
    for bad in [
        "".to_owned(),
        "hello".to_owned(),
        good.replacen("PUBLIC KEY", "PUBLIC KEX", 1),
        good.replacen("-----BEGIN", "----BEGIN", 1),
        good.replacen("-----END", "", 1),
        good[..good.len() - 40].to_owned(),
        good.clone() + "a note",
        good.clone() + &short,
        a.public_pem().repeat(RETIRED_MAX + 1),
        good.repeat(200),
    ] {
        std::fs::write(&path, &bad).unwrap();
        assert!(words(Retired::read(&path)).contains("not a list of 1 to 64"), "{bad}");
        assert!(Retired::add(&path, a.public_pem()).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
    }
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(Retired::read(&path).is_err());
}

#[test]
fn a_full_file_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("retired.pub");
    let [a, b] = keys();
    std::fs::write(&path, a.public_pem().repeat(RETIRED_MAX - 1)).unwrap();
    Retired::add(&path, b.public_pem()).unwrap();
    std::fs::write(&path, a.public_pem().repeat(RETIRED_MAX)).unwrap();
    assert!(words(Retired::add(&path, b.public_pem())).contains("holds 64 keys"));
    Retired::add(&path, a.public_pem()).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Retired::parse(&bytes).is_none());
    }

    #[test]
    fn a_changed_byte_is_refused_or_another_key(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let good = keys()[0].public_pem();
        let mut bytes = good.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(retired) = Retired::parse(&bytes) {
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            let same = letters(std::str::from_utf8(&bytes).unwrap()) == letters(good);
            prop_assert_eq!(retired.0[0].pem == good, same);
        }
    }
}
