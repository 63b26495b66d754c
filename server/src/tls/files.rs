//! `TLS_DIR`'s files into a rustls configuration and the set of revoked certificates. All or nothing.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use sha2::{Digest as _, Sha256};
use sss_common::ends::End;
use sss_common::login::ServerKey;
use sss_common::{Clock, Timestamp};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use super::identity::CertificateId;
use super::lists::{Authority, Edition, Lists};

/// Why a file cannot be used. The second line says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}\n{advice}", path.display())]
pub struct TlsError {
    path: PathBuf,
    what: String,
    advice: &'static str,
}

const MAKE: &str = "`3s-ca issue-server CA_DIR --host NAME -o TLS_DIR` writes the files that are needed";
const COPY_CRL: &str = "copy the newest `ca.crl` from the CA's directory again; if the CA itself was set back, `3s-ca revoke` until its number is behind";

const RENEW: &str = "`3s-ca issue-server … --renew` makes another; clients refuse it when it is over";
const RENEW_CA: &str = "make another authority, and enroll everybody anew: nobody is let in when it is over";
const RENEW_CRL: &str = "`3s-ca revoke` and `3s-ca issue-server` sign another; it counts beyond its end";

/// What the listener works with.
pub(super) struct Material {
    pub(super) config: Arc<ServerConfig>,
    pub(super) revoked: HashSet<CertificateId>,
    /// The lists in `ca.crl`.
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
    /// The key in `server.crt`, which challenges name.
    pub(super) server_key: ServerKey,
    /// What ends, and when.
    pub(super) ends: Vec<End>,
    authorities: Vec<Authority>,
    editions: BTreeMap<Authority, Edition>,
}

impl Material {
    pub(super) fn load(dir: &Path, clock: &Arc<dyn Clock>) -> Result<Self, TlsError> {
        let authorities = certificates(&dir.join("ca.crt"))?;
        let chain = certificates(&dir.join("server.crt"))?;
        let key = private_key(&dir.join("server.key"))?;
        let crls = revocation_lists(&dir.join("ca.crl"), &authorities)?;
        let (known, editions) =
            (authority_keys(&authorities), editions(&dir.join("ca.crl"), &crls, &authorities)?);
        let revoked = revoked(&dir.join("ca.crl"), &crls)?;
        let ends = ends(dir, &authorities, &chain, &crls);
        let server_key = server_key(&dir.join("server.crt"), &chain)?;
        let config = configure(dir, authorities, chain, key, crls.clone(), clock)?;
        Ok(Material {
            config: Arc::new(config),
            revoked,
            crls,
            server_key,
            ends,
            authorities: known,
            editions,
        })
    }

    /// Lets the lists of these files take over from those that were in force, if they may: an older list, or none, would make
    /// certificates good again.
    pub(super) fn take_over(&self, lists: &mut Lists, dir: &Path) -> Result<(), TlsError> {
        lists
            .admit(&self.authorities, &self.editions)
            .map_err(|why| refused(&dir.join("ca.crl"), why, COPY_CRL))?;
        let path = lists.path().to_owned();
        lists.remember(self.editions.clone()).map_err(|error| TlsError::of_lists(&path, error))
    }
}

impl TlsError {
    /// The file of the lists that were in force fails.
    pub(super) fn of_lists(path: &Path, error: std::io::Error) -> Self {
        refused(path, error, "without it a revoked certificate could come back; mend or remove the file")
    }
}

fn configure(
    dir: &Path,
    authorities: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    crls: Vec<CertificateRevocationListDer<'static>>,
    clock: &Arc<dyn Clock>,
) -> Result<ServerConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|error| refused(&dir.join("ca.crt"), error, MAKE))?;
    }
    let provider = Arc::new(provider());
    // With a CRL, a certificate whose status it does not tell (another issuer's) is refused.
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .with_crls(crls)
        .build()
        .map_err(|error| refused(&dir.join("ca.crt"), error, MAKE))?;
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(ByClock(clock.clone())))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| refused(dir, error, MAKE))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| refused(&dir.join("server.key"), error, MAKE))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Nothing resumes: a ticket would outlive the revocation of its certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The clock that rights are decided by also says which certificates have ended: one that has does not come back.
struct ByClock(Arc<dyn Clock>);

impl fmt::Debug for ByClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByClock")
    }
}

impl TimeProvider for ByClock {
    fn current_time(&self) -> Option<UnixTime> {
        let millis = u64::try_from(self.0.now().millis()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(millis)))
    }
}

/// aws-lc-rs with the hybrid post-quantum key exchange first.
fn provider() -> CryptoProvider {
    let kx_groups =
        vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| refused(path, error, MAKE))?;
    if certificates.is_empty() {
        return Err(refused(path, "there is no certificate in it", MAKE));
    }
    Ok(certificates)
}

fn server_key(path: &Path, chain: &[CertificateDer<'_>]) -> Result<ServerKey, TlsError> {
    let own = chain.first().and_then(|der| X509Certificate::from_der(der).ok());
    let (_, own) = own.ok_or_else(|| refused(path, "is not a certificate that can be read", MAKE))?;
    Ok(ServerKey::of(own.public_key().raw))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| refused(path, error, MAKE))?;
    if std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0) {
        tracing::warn!("{} can be read by others than its owner; `chmod 600` it", path.display());
    }
    Ok(key)
}

/// The CRLs, each signed by one of the authorities; none when there is no file.
fn revocation_lists(
    path: &Path,
    authorities: &[CertificateDer<'_>],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    if !path.try_exists().map_err(|error| refused(path, error, COPY_CRL))? {
        tracing::warn!("there is no {}: no certificate counts as revoked", path.display());
        return Ok(Vec::new());
    }
    let read = CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect);
    let lists: Vec<CertificateRevocationListDer<'static>> =
        read.map_err(|error| refused(path, error, COPY_CRL))?;
    if lists.is_empty() {
        return Err(refused(path, "there is no CRL in it", COPY_CRL));
    }
    for list in &lists {
        let crl = parsed(path, list)?;
        if !authorities.iter().any(|authority| signed_by(&crl, authority)) {
            return Err(refused(path, "is not signed by the CA of ca.crt", COPY_CRL));
        }
    }
    Ok(lists)
}

fn signed_by(crl: &CertificateRevocationList<'_>, authority: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(authority).is_ok_and(|(_, authority)| {
        authority.subject().as_raw() == crl.issuer().as_raw()
            && crl.verify_signature(authority.public_key()).is_ok()
    })
}

/// SHA-256 of each authority's key.
fn authority_keys(authorities: &[CertificateDer<'_>]) -> Vec<Authority> {
    let parsed = authorities.iter().filter_map(|der| X509Certificate::from_der(der).ok());
    parsed.map(|(_, authority)| authority_key(&authority)).collect()
}

fn authority_key(authority: &X509Certificate<'_>) -> Authority {
    hex::encode(Sha256::digest(authority.public_key().raw))
}

/// The newest list of each authority.
fn editions(
    path: &Path,
    lists: &[CertificateRevocationListDer<'static>],
    authorities: &[CertificateDer<'_>],
) -> Result<BTreeMap<Authority, Edition>, TlsError> {
    let mut editions: BTreeMap<Authority, Edition> = BTreeMap::new();
    for list in lists {
        let crl = parsed(path, list)?;
        let edition = Edition {
            number: crl.crl_number().map(|number| number.to_bytes_be()),
            issued: crl.last_update().timestamp(),
        };
        let signers = authorities.iter().filter(|authority| signed_by(&crl, authority));
        for signer in authority_keys(&signers.cloned().collect::<Vec<_>>()) {
            editions
                .entry(signer)
                .and_modify(|known| known.renew(&edition))
                .or_insert_with(|| edition.clone());
        }
    }
    Ok(editions)
}

fn revoked(
    path: &Path,
    lists: &[CertificateRevocationListDer<'static>],
) -> Result<HashSet<CertificateId>, TlsError> {
    let mut revoked = HashSet::new();
    for list in lists {
        let crl = parsed(path, list)?;
        let issuer = crl.issuer().as_raw();
        revoked.extend(
            crl.iter_revoked_certificates().map(|entry| CertificateId::new(issuer, entry.raw_serial())),
        );
    }
    Ok(revoked)
}

fn parsed<'a>(
    path: &Path,
    list: &'a CertificateRevocationListDer<'static>,
) -> Result<CertificateRevocationList<'a>, TlsError> {
    let (_, crl) =
        CertificateRevocationList::from_der(list).map_err(|error| refused(path, error, COPY_CRL))?;
    Ok(crl)
}

/// When the certificates end, and when the next lists are due.
fn ends(
    dir: &Path,
    authorities: &[CertificateDer<'_>],
    chain: &[CertificateDer<'_>],
    lists: &[CertificateRevocationListDer<'_>],
) -> Vec<End> {
    let at = |time: ASN1Time| Timestamp(time.timestamp().saturating_mul(1000));
    let end = |file: &str, at: Timestamp, advice| End { path: dir.join(file), at, advice };
    let certificate = |der: &CertificateDer<'_>| {
        X509Certificate::from_der(der).ok().map(|(_, certificate)| at(certificate.validity().not_after))
    };
    let list = |der: &CertificateRevocationListDer<'_>| {
        CertificateRevocationList::from_der(der).ok().and_then(|(_, crl)| crl.next_update().map(at))
    };
    let own = chain.iter().filter_map(certificate).map(|at| end("server.crt", at, RENEW));
    let roots = authorities.iter().filter_map(certificate).map(|at| end("ca.crt", at, RENEW_CA));
    own.chain(roots).chain(lists.iter().filter_map(list).map(|at| end("ca.crl", at, RENEW_CRL))).collect()
}

fn refused(path: &Path, what: impl ToString, advice: &'static str) -> TlsError {
    TlsError { path: path.into(), what: what.to_string(), advice }
}
