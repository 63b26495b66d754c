//! When what is in an identity ends.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use sss_common::Timestamp;
use sss_common::ends::End;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::lists::Lists;
use super::{Identity, certificates};

const RENEW: &str = "renew it with `3s-ca enroll` into the same folder: running mounts take it up";
const RENEW_CA: &str = "have the administrator make another authority and enroll everybody anew";
const RENEW_CRL: &str =
    "it counts beyond its end; the server hands over the next one, or copy ca.crl from the CA's folder";

impl Identity {
    /// The ends of its certificates, and when the next revocation lists are due.
    pub fn ends(&self) -> Vec<End> {
        ends(&self.dir, &self.roots, &self.chain, &self.lists)
    }
}

/// The same of the identity in a folder, without its keys: as far as it can be read.
pub fn ends_in(dir: &Path) -> Vec<End> {
    let of = |name: &str| certificates(&dir.join(name)).unwrap_or_default();
    let (roots, chain) = (of("ca.crt"), of("client.crt"));
    let lists = Lists::load(&dir.join("ca.crl"), &roots).unwrap_or_default();
    ends(dir, &roots, &chain, &lists)
}

fn ends(dir: &Path, roots: &[CertificateDer<'_>], chain: &[CertificateDer<'_>], lists: &Lists) -> Vec<End> {
    let end = |file: &str, at: Timestamp, advice| End { path: dir.join(file), at, advice };
    let certificate = |der: &CertificateDer<'_>| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Timestamp(certificate.validity().not_after.timestamp().saturating_mul(1000)))
    };
    let own = chain.iter().filter_map(certificate).map(|at| end("client.crt", at, RENEW));
    let roots = roots.iter().filter_map(certificate).map(|at| end("ca.crt", at, RENEW_CA));
    own.chain(roots).chain(lists.ends().map(|at| end("ca.crl", at, RENEW_CRL))).collect()
}
