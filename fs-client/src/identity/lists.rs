//! `ca.crl`: the certificates that the authorities of `ca.crt` took back, servers' among them.
//!
//! A list counts by its authority's signature and by its number, wherever it comes from: a newer one is handed over by the
//! server. Without a list nothing is revoked. One past its `nextUpdate` counts on, since the alternative is none at all.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use sss_common::{Advised, Timestamp};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::{Keeping, read};

/// The newest list of each authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists(BTreeMap<Authority, List>);

/// An authority's public key (SPKI).
type Authority = Vec<u8>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct List {
    der: CertificateRevocationListDer<'static>,
    /// Big-endian without leading zeros (RFC 5280, section 5.2.3); empty for a list without one, which is before all others.
    number: Vec<u8>,
    /// When the next one is due.
    ends: Option<Timestamp>,
}

impl List {
    fn is_behind(&self, other: &List) -> bool {
        (self.number.len(), &self.number) > (other.number.len(), &other.number)
    }
}

impl Lists {
    /// The lists in a file, each of which one of `roots` must have signed; none where there is no file.
    pub fn load(path: &Path, roots: &[CertificateDer<'_>]) -> Result<Self, Advised> {
        if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(Lists::default());
        }
        let bad = |what: &str| {
            Advised::new(
                format!("{} {what}", path.display()),
                "copy the newest ca.crl from the CA's folder, or `3s-ca enroll` again; without the file no server counts as revoked",
            )
        };
        let pem = read(path, Keeping::Public)?;
        let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
        let found = found.ok().filter(|found| !found.is_empty());
        let mut lists = Lists::default();
        for der in found.ok_or_else(|| bad("holds no list of revoked certificates in PEM"))? {
            let (authority, list) = signed(der, roots)
                .ok_or_else(|| bad("is not a list of revoked certificates by the authority in ca.crt"))?;
            lists.take(authority, list);
        }
        Ok(lists)
    }

    /// These lists with each of `offered` (DER) that one of `roots` signed and that has a higher number than the one that is
    /// there. `None` when there is none of that kind.
    pub fn with_newer(&self, offered: Vec<Vec<u8>>, roots: &[CertificateDer<'_>]) -> Option<Self> {
        let mut lists = self.clone();
        for der in offered {
            if let Some((authority, list)) =
                signed(der.into(), roots).filter(|(_, list)| !list.number.is_empty())
            {
                lists.take(authority, list);
            }
        }
        (lists != *self).then_some(lists)
    }

    /// These, and those of another set that are newer, of authorities that are believed still.
    pub fn and_newer_of(&self, other: &Lists, roots: &[CertificateDer<'_>]) -> Self {
        let others = other.0.values().map(|list| list.der.as_ref().to_vec()).collect();
        self.with_newer(others, roots).unwrap_or_else(|| self.clone())
    }

    fn take(&mut self, authority: Authority, list: List) {
        let newest = self.0.get(&authority).is_none_or(|known| list.is_behind(known));
        if newest {
            self.0.insert(authority, list);
        }
    }

    /// For the TLS configuration.
    pub fn der(&self) -> Vec<CertificateRevocationListDer<'static>> {
        self.0.values().map(|list| list.der.clone()).collect()
    }

    /// When the next lists are due.
    pub(super) fn ends(&self) -> impl Iterator<Item = Timestamp> {
        self.0.values().filter_map(|list| list.ends)
    }

    /// As a file.
    pub fn to_pem(&self) -> String {
        self.0.values().map(|list| pem(&list.der)).collect()
    }
}

/// A list and whose it is; `None` when none of `roots` signed it.
fn signed(
    der: CertificateRevocationListDer<'static>,
    roots: &[CertificateDer<'_>],
) -> Option<(Authority, List)> {
    let (rest, crl) = CertificateRevocationList::from_der(&der).ok()?;
    let by = |root: &CertificateDer<'_>| {
        let (_, root) = X509Certificate::from_der(root).ok()?;
        let same = root.subject().as_raw() == crl.issuer().as_raw();
        (same && crl.verify_signature(root.public_key()).is_ok()).then(|| root.public_key().raw.to_vec())
    };
    let authority = roots.iter().find_map(by).filter(|_| rest.is_empty())?;
    let number = crl.crl_number().map(|number| number.to_bytes_be()).unwrap_or_default();
    let ends = crl.next_update().map(|at| Timestamp(at.timestamp().saturating_mul(1000)));
    Some((authority, List { number, ends, der: der.clone() }))
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rcgen::{CertificateRevocationListParams, CertifiedIssuer, KeyIdMethod, KeyPair, SerialNumber};

    use super::*;

    struct Root(CertifiedIssuer<'static, KeyPair>);

    impl Root {
        fn new(name: &str) -> Self {
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            Root(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        fn list(&self, number: u64) -> Vec<u8> {
            let params = CertificateRevocationListParams {
                this_update: rcgen::date_time_ymd(2020, 1, 1),
                next_update: rcgen::date_time_ymd(2040, 1, 1),
                crl_number: SerialNumber::from(number),
                issuing_distribution_point: None,
                revoked_certs: Vec::new(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&self.0).unwrap().der().to_vec()
        }

        fn der(&self) -> CertificateDer<'static> {
            self.0.der().clone()
        }
    }

    fn file(lists: &[Vec<u8>]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crl");
        std::fs::write(&path, lists.iter().map(|der| pem(der)).collect::<String>()).unwrap();
        (dir, path)
    }

    #[test]
    fn only_what_the_authority_signed_with_a_higher_number_is_newer() {
        // A stranger of the same name, and an authority that is believed too.
        let (root, stranger, other) = (Root::new("ca"), Root::new("ca"), Root::new("other"));
        let roots = [root.der(), other.der()];
        let (_dir, path) = file(&[root.list(300)]);
        let lists = Lists::load(&path, &roots).unwrap();
        for (offered, why) in [
            (root.list(300), "the same number"),
            (root.list(299), "a lower one"),
            (root.list(2), "a lower one, of fewer bytes"),
            (stranger.list(301), "another authority's signature"),
            (b"nonsense".to_vec(), "no list"),
            ([root.list(301), vec![0]].concat(), "something behind it"),
        ] {
            assert_eq!(lists.with_newer(vec![offered], &roots), None, "{why}");
        }
        let list = root.list(301);
        let newer = lists.with_newer(vec![list.clone(), stranger.list(900)], &roots).unwrap();
        assert_eq!(newer.der(), [list.into()]);
        let both = newer.with_newer(vec![other.list(1)], &roots).unwrap();
        assert_eq!(both.der().len(), 2, "each authority has its own");
        assert_eq!(newer.and_newer_of(&lists, &roots), newer);
        assert_eq!(lists.and_newer_of(&newer, &roots), newer);
        assert_eq!(
            lists.and_newer_of(&newer, &[other.der()]),
            lists,
            "whose authority is not believed any more"
        );

        let (_dir, path) = file(&[]);
        std::fs::write(&path, both.to_pem()).unwrap();
        assert_eq!(Lists::load(&path, &roots).unwrap(), both, "what is written is read again");
    }

    #[test]
    fn a_file_is_good_or_refused_or_not_there() {
        let (root, stranger) = (Root::new("ca"), Root::new("ca"));
        let roots = [root.der()];
        let newest = root.list(3);
        let (dir, path) = file(&[root.list(1), newest.clone(), root.list(2)]);
        let lists = Lists::load(&path, &roots).unwrap();
        assert_eq!(lists.der(), [newest.into()]);
        assert_eq!(lists.ends().collect::<Vec<_>>(), [Timestamp(2_208_988_800_000)]);
        assert_eq!(Lists::load(&dir.path().join("none"), &roots), Ok(Lists::default()));
        for bad in ["".to_owned(), "nonsense".to_owned(), pem(&stranger.list(1)), pem(b"nonsense")] {
            std::fs::write(&path, &bad).unwrap();
            let failure = Lists::load(&path, &roots).unwrap_err();
            assert!(failure.what.contains("ca.crl") && failure.hint.contains("3s-ca enroll"), "{failure}");
        }
    }
}
