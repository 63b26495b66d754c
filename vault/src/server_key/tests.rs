#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;

use super::*;

fn words<T>(result: Result<T>) -> String {
    let Err(VaultError::Keys(text)) = result else { panic!("not a refusal") };
    assert_eq!(text.lines().count(), 2, "{text}");
    text
}

#[test]
fn a_key_pair_is_made_read_and_signs() {
    let folder = tempfile::tempdir().unwrap();
    let (private, public) = (folder.path().join("server.key"), folder.path().join("server.pub"));
    let made = ServerKey::create(&private, &public).unwrap();
    assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    let (read, _) = ServerKey::read(&private).unwrap();
    read.check_public(&public).unwrap();
    assert_eq!(read.public_pem(), made.public_pem());
    assert_eq!(read.public_pem(), std::fs::read_to_string(&public).unwrap());

    let signature = read.sign(b"message").unwrap();
    assert!(read.verify(b"message", &signature));
    assert!(!read.verify(b"massage", &signature));
    assert!(!read.verify(b"message", &signature[1..]));
    // The other end checks with another library.
    let client = RsaPublicKey::from_public_key_pem(read.public_pem()).unwrap();
    assert_eq!(client.size(), 384);
    assert!(sss_common::login::verify(&client, b"message", &signature));

    // Nothing is written over.
    let before = std::fs::read(&private).unwrap();
    assert!(words(ServerKey::create(&private, &public)).contains("exists already"));
    assert_eq!(std::fs::read(&private).unwrap(), before);

    // Halves that do not belong together, and files that are no keys.
    let (private2, public2) = (folder.path().join("2.key"), folder.path().join("2.pub"));
    ServerKey::create(&private2, &public2).unwrap();
    assert!(words(read.check_public(&public2)).contains("not the public half"));
    assert!(words(ServerKey::read(&public)).contains("no RSA private key"));
    assert!(words(read.check_public(&private)).contains("not the public half"));
    assert!(words(ServerKey::read(&folder.path().join("none"))).contains("cannot be read"));
    assert!(words(read.check_public(&folder.path().join("none"))).contains("cannot be read"));
}

#[test]
fn a_short_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let short = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let document = SecretDocument::try_from(short.as_der().unwrap().as_ref()).unwrap();
    let path = folder.path().join("server.key");
    std::fs::write(&path, document.to_pem(PRIVATE_LABEL, LineEnding::LF).unwrap()).unwrap();
    assert!(words(ServerKey::read(&path)).contains("3072"));
}
