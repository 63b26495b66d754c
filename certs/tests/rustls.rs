//! Handshakes by 3S's own rules: TLS 1.3, certificates on both sides, the revocation list on the server's.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use common::{Fixture, readme_scripts, shell};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig, ServerConnection,
};
use sss_certs::revoke::Target;

fn certs(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

fn roots(dir: &Path) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certs(&dir.join("ca.crt")).remove(0)).unwrap();
    roots.into()
}

fn server(tls_dir: &Path) -> ServerConnection {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let list = CertificateRevocationListDer::from_pem_file(tls_dir.join("ca.crl")).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(tls_dir), provider.clone())
        .with_crls([list])
        .enforce_revocation_expiration()
        .build()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(tls_dir.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certs(&tls_dir.join("server.crt")), key)
        .unwrap();
    ServerConnection::new(config.into()).unwrap()
}

fn client(id_dir: &Path, host: &str) -> ClientConnection {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from_pem_file(id_dir.join("client.key")).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots(id_dir))
        .with_client_auth_cert(certs(&id_dir.join("client.crt")), key)
        .unwrap();
    ClientConnection::new(config.into(), ServerName::try_from(host.to_owned()).unwrap()).unwrap()
}

/// Shakes hands and sends a word each way; the error is that of the side which refused.
fn shake(tls_dir: &Path, id_dir: &Path, host: &str) -> Result<(), Error> {
    let (mut server, mut client) = (server(tls_dir), client(id_dir, host));
    while server.is_handshaking() || client.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    let mut wire = Vec::new();
    client.writer().write_all(b"hello").unwrap();
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets()?;
    let mut word = [0; 5];
    server.reader().read_exact(&mut word).unwrap();
    assert_eq!(&word, b"hello");
    Ok(())
}

fn refused(result: Result<(), Error>) -> CertificateError {
    match result {
        Err(Error::InvalidCertificate(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_sides_accept_each_other_until_the_certificate_is_revoked() {
    let fixture = Fixture::new();
    fixture.server("tls");
    fixture.enroll("alice", "client1", "alice");
    fixture.enroll("bob", "client1", "bob");
    let [tls, alice, bob] = ["tls", "alice", "bob"].map(|name| fixture.path(name));
    for host in ["localhost", "127.0.0.1"] {
        shake(&tls, &alice, host).unwrap();
    }
    shake(&tls, &bob, "localhost").unwrap();

    fixture.open().revoke(&Target::File(bob.join("client.crt")), fixture.now).unwrap();
    shake(&tls, &bob, "localhost").expect("the server has the old list still");
    std::fs::copy(fixture.path("ca/ca.crl"), tls.join("ca.crl")).unwrap();
    assert_eq!(refused(shake(&tls, &bob, "localhost")), CertificateError::Revoked);
    shake(&tls, &alice, "localhost").expect("of one node's two certificates one was revoked");
}

#[test]
fn renewed_certificates_are_accepted() {
    let fixture = Fixture::new();
    fixture.server("tls");
    fixture.enroll("alice", "client1", "id");
    let (tls, id) = (fixture.path("tls"), fixture.path("id"));
    fixture.open().issue_server(&common::server(&["localhost"], true), &tls, fixture.now).unwrap();
    fixture.enroll("alice", "client1", "id");
    shake(&tls, &id, "localhost").unwrap();
}

#[test]
fn other_hosts_other_roots_and_other_purposes_are_refused() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    for each in [&fixture, &other] {
        each.server("tls");
        each.enroll("alice", "client1", "id");
    }
    let (tls, id) = (fixture.path("tls"), fixture.path("id"));
    let wrong_host = refused(shake(&tls, &id, "other.example.org"));
    assert!(matches!(wrong_host, CertificateError::NotValidForNameContext { .. }), "{wrong_host:?}");
    assert_eq!(refused(shake(&other.path("tls"), &id, "localhost")), CertificateError::UnknownIssuer);

    // A server's certificate used as a node's, and the other way round.
    for (from, to) in [("tls/server", "id/client"), ("id/client", "mixed/server")] {
        std::fs::create_dir_all(other.path("mixed")).unwrap();
        for kind in ["crt", "key"] {
            std::fs::copy(fixture.path(&format!("{from}.{kind}")), other.path(&format!("{to}.{kind}")))
                .unwrap();
        }
    }
    for name in ["ca.crt", "ca.crl"] {
        std::fs::copy(tls.join(name), other.path("mixed").join(name)).unwrap();
        std::fs::copy(tls.join(name), other.path("id").join(name)).unwrap();
    }
    let wrong_purpose = refused(shake(&tls, &other.path("id"), "localhost"));
    assert!(matches!(wrong_purpose, CertificateError::InvalidPurposeContext { .. }), "{wrong_purpose:?}");
    let wrong_purpose = refused(shake(&other.path("mixed"), &id, "client1"));
    assert!(matches!(wrong_purpose, CertificateError::InvalidPurposeContext { .. }), "{wrong_purpose:?}");
}

#[test]
fn a_ca_made_with_openssl_alone_works_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let [make, revoke] = &readme_scripts("A CA made with openssl alone")[..] else { panic!("two scripts") };
    shell(dir, make).ok();
    shake(dir, dir, "localhost").unwrap();
    shell(dir, revoke).ok();
    assert_eq!(refused(shake(dir, dir, "localhost")), CertificateError::Revoked);
}
