#![allow(clippy::unwrap_used)]

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce as OtherNonce};
use proptest::prelude::*;

use super::*;

fn sealed(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = plain.to_vec();
    Cipher::new(&SecretKey::from_exposed(key)).unwrap().seal(nonce, aad, &mut out, 0).unwrap();
    out
}

fn sealed_by_the_other(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], msg: &[u8]) -> Vec<u8> {
    Aes256GcmSiv::new(key.into()).encrypt(OtherNonce::from_slice(&nonce), Payload { msg, aad }).unwrap()
}

#[test]
fn both_ciphers_give_the_rfcs_vectors() {
    let mut count = 0;
    for line in include_str!("../vectors/rfc8452.txt").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<Vec<u8>> =
            line.split(' ').map(|f| hex::decode(f.trim_matches('-')).unwrap()).collect();
        let [key, nonce, aad, plain, result] = &fields[..] else { panic!("{line}") };
        let (key, nonce) = (key[..].try_into().unwrap(), nonce[..].try_into().unwrap());
        assert_eq!(&sealed(key, nonce, aad, plain), result, "{line}");
        assert_eq!(&sealed_by_the_other(key, nonce, aad, plain), result, "{line}");
        count += 1;
    }
    assert_eq!(count, 24);
}

proptest! {
    #[test]
    fn both_ciphers_give_the_same_bytes(
        key in any::<[u8; 32]>(),
        nonce in any::<[u8; 12]>(),
        aad in proptest::collection::vec(any::<u8>(), 0..80),
        plain in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let ours = sealed(&key, nonce, &aad, &plain);
        prop_assert_eq!(&ours, &sealed_by_the_other(&key, nonce, &aad, &plain));
        let mut opened = ours;
        let cipher = Cipher::new(&SecretKey::from_exposed(&key)).unwrap();
        let length = cipher.open(nonce, &aad, &mut opened).unwrap();
        prop_assert_eq!(&opened[..length], &plain[..]);
    }
}

#[test]
fn nonces_of_blocks_and_records_never_meet() {
    for index in [0, 1, u64::MAX] {
        assert!(!is_record_nonce(&block_nonce(index)));
    }
    assert_ne!(block_nonce(1), block_nonce(256));
    let (a, b) = (record_nonce().unwrap(), record_nonce().unwrap());
    assert!(is_record_nonce(&a) && is_record_nonce(&b) && a != b);
}

#[test]
fn a_root_key_unwraps_under_its_own_label_and_key_only() {
    use aws_lc_rs::rsa::KeySize;
    let own = PrivateDecryptingKey::generate(KeySize::Rsa3072).unwrap();
    let other = PrivateDecryptingKey::generate(KeySize::Rsa3072).unwrap();
    let key = SecretKey::random().unwrap();
    let mut wrapped = wrap(&own.public_key(), b"label", &key).unwrap();
    assert_eq!(wrapped.len(), 384);
    assert_eq!(unwrap(&own, b"label", &wrapped).unwrap().expose_bytes(), key.expose_bytes());
    assert!(unwrap(&own, b"other", &wrapped).is_none());
    assert!(unwrap(&other, b"label", &wrapped).is_none());
    wrapped[100] ^= 1;
    assert!(unwrap(&own, b"label", &wrapped).is_none());
}
