//! A certificate authority: a folder with its certificate, key, revocation list and index.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use sss_common::Timestamp;
use x509_parser::extensions::ParsedExtension;
use zeroize::Zeroizing;

use crate::cert::{self, Cert};
use crate::crl::{self, Crl};
use crate::files::{self, Access, Batch};
use crate::index::{Entry, Index};
use crate::profile::{self, Validity};
use crate::{Days, Error, Serial, keys};

/// File names, in a CA's folder and in those it writes.
pub mod names {
    /// The root certificate.
    pub const CA_CRT: &str = "ca.crt";
    /// The root's private key.
    pub const CA_KEY: &str = "ca.key";
    /// The revocation list.
    pub const CA_CRL: &str = "ca.crl";
    /// The list of what was issued.
    pub const INDEX: &str = "index.tsv";
    /// A server's certificate.
    pub const SERVER_CRT: &str = "server.crt";
    /// A server's private key.
    pub const SERVER_KEY: &str = "server.key";
    /// A node's certificate.
    pub const CLIENT_CRT: &str = "client.crt";
    /// A node's private key.
    pub const CLIENT_KEY: &str = "client.key";
    /// A user's private key.
    pub const USER_KEY: &str = "user.key";
    /// A user's public key.
    pub const USER_PUB: &str = "user.pub";
}

/// An opened CA. No other command works on its folder until it is dropped.
pub struct Ca {
    dir: PathBuf,
    cert: Cert,
    key: Zeroizing<KeyPair>,
    index: Index,
    _lock: File,
}

/// A certificate that was signed and is on its way to its file.
pub struct Issued {
    /// As it will be read.
    pub cert: Cert,
    /// As it will be written.
    pub pem: String,
}

impl Ca {
    /// Makes a new CA in `dir`: a root certificate with its key, and an empty revocation list.
    ///
    /// `ca.crt` is put there last; a folder without it is no CA.
    pub fn init(dir: &Path, days: Days, now: Timestamp) -> Result<Ca, Error> {
        files::make_private_folder(dir)?;
        let lock = files::lock_folder(dir)?;
        check_free(dir)?;
        let key = keys::make_ec()?;
        let serial = Serial::random();
        let params = profile::root(&serial, Validity::new(now, days))?;
        let pem = params.self_signed(&*key).map_err(Error::signing)?.pem();
        let issuer = Issuer::from_params(&params, &*key);
        let list = Crl::first(now).sign(&issuer, params.key_identifier(&*key), now)?;

        let mut batch = Batch::default();
        batch.create(&dir.join(names::CA_KEY), keys::private_pem(&key)?.as_bytes(), Access::Secret)?;
        Index::default().stage(&dir.join(names::INDEX), &mut batch)?;
        batch.create(&dir.join(names::CA_CRL), list.as_bytes(), Access::Public)?;
        batch.create(&dir.join(names::CA_CRT), pem.as_bytes(), Access::Public)?;
        batch.publish()?;
        Ca::load(dir, lock)
    }

    /// Opens the CA in `dir`, after other commands are done with it.
    pub fn open(dir: &Path) -> Result<Ca, Error> {
        if !files::exists(dir) {
            return Err(Error::NotACa(dir.to_owned()));
        }
        Ca::load(dir, files::lock_folder(dir)?)
    }

    fn load(dir: &Path, lock: File) -> Result<Ca, Error> {
        if !files::exists(&dir.join(names::CA_CRT)) {
            check_free(dir)?;
            return Err(Error::NotACa(dir.to_owned()));
        }
        let cert = Cert::read(&dir.join(names::CA_CRT))?;
        let key_path = dir.join(names::CA_KEY);
        let key = keys::read(&key_path).map_err(|error| match error {
            Error::Key { path, reason } => Error::CaKey { path, reason },
            other => other,
        })?;
        if key.subject_public_key_info() != cert.public_key() {
            return Err(Error::CaKeyMismatch(key_path));
        }
        let index = Index::load(&dir.join(names::INDEX))?;
        Ok(Ca { dir: dir.to_owned(), cert, key, index, _lock: lock })
    }

    /// The root certificate.
    pub fn cert(&self) -> &Cert {
        &self.cert
    }

    /// What was issued.
    pub fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn index_mut(&mut self) -> &mut Index {
        &mut self.index
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The root certificate's file.
    pub(crate) fn cert_pem(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        files::read(&self.path(names::CA_CRT), files::PEM_MAX)
    }

    /// How long what is issued now can be good for: `days`, but never longer than the root itself.
    pub(crate) fn validity(&self, now: Timestamp, days: Days) -> Result<Validity, Error> {
        if self.cert.not_after <= now {
            return Err(Error::CaExpired(self.cert.not_after));
        }
        let wanted = Validity::new(now, days);
        Ok(Validity { until: wanted.until.min(self.cert.not_after), ..wanted })
    }

    /// Signs a certificate for `public_key` and makes sure that it verifies.
    pub(crate) fn sign(
        &self,
        params: &CertificateParams,
        public_key: &impl PublicKeyData,
    ) -> Result<Issued, Error> {
        let signed = params.signed_by(public_key, &self.issuer()?).map_err(Error::signing)?;
        let cert = Cert::from_der(signed.der())
            .filter(|cert| cert.is_issued_by(&self.cert))
            .ok_or_else(|| Error::signing("the new certificate does not verify against ca.crt"))?;
        Ok(Issued { pem: signed.pem(), cert })
    }

    /// Notes a certificate in the index, durably. To be called before it is written anywhere.
    pub(crate) fn record(&mut self, cert: &Cert) -> Result<(), Error> {
        self.index.push(Entry::new(cert.serial.clone(), cert.kind, cert.not_after, &cert.subject));
        self.save_index()
    }

    pub(crate) fn save_index(&self) -> Result<(), Error> {
        let mut batch = Batch::default();
        self.index.stage(&self.path(names::INDEX), &mut batch)?;
        batch.publish()
    }

    /// The revocation list as it is published now.
    pub fn crl(&self) -> Result<Crl, Error> {
        Crl::read(&self.path(names::CA_CRL), &self.cert)
    }

    /// Whether the index or the published list says so.
    pub fn is_revoked(&self, serial: &Serial) -> Result<bool, Error> {
        let noted =
            self.index.entries().iter().any(|entry| entry.serial == *serial && entry.revoked.is_some());
        Ok(noted || self.crl()?.revokes(serial))
    }

    /// Signs and writes the next revocation list: all that the index and the last list call revoked.
    pub(crate) fn write_crl(&self, now: Timestamp) -> Result<Crl, Error> {
        let revoked = self.index.entries().iter().filter_map(|e| Some((e.serial.clone(), e.revoked?)));
        let next = self.crl()?.next(now, revoked);
        let pem = next.sign(&self.issuer()?, self.key_id(), now)?;
        let mut batch = Batch::default();
        batch.replace(&self.path(names::CA_CRL), pem.as_bytes(), Access::Public)?;
        batch.publish()?;
        Ok(next)
    }

    /// The revocation list's file; signed anew first when half of its life is over or it lacks a revocation.
    pub(crate) fn fresh_crl_pem(&self, now: Timestamp) -> Result<Zeroizing<Vec<u8>>, Error> {
        let list = self.crl()?;
        let aging = list.next_update < now.after(crl::LIFETIME / 2);
        let listed: HashSet<&Serial> = list.revoked.iter().map(|(serial, _)| serial).collect();
        let lacking = self.index.entries().iter().any(|e| e.revoked.is_some() && !listed.contains(&e.serial));
        if aging || lacking {
            self.write_crl(now)?;
        }
        files::read(&self.path(names::CA_CRL), files::LIST_MAX)
    }

    fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, Error> {
        Issuer::from_ca_cert_der(&CertificateDer::from(self.cert.der()), &*self.key).map_err(Error::signing)
    }

    fn key_id(&self) -> Vec<u8> {
        let id = cert::parse(self.cert.der()).and_then(|x509| {
            x509.iter_extensions().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            })
        });
        id.unwrap_or_else(|| CertificateParams::default().key_identifier(&*self.key))
    }
}

/// Whether a new CA can be made in `dir`.
fn check_free(dir: &Path) -> Result<(), Error> {
    let holds = |name: &&str| files::exists(&dir.join(name));
    if holds(&names::CA_CRT) {
        Err(Error::CaExists(dir.to_owned()))
    } else if [names::CA_KEY, names::CA_CRL, names::INDEX].iter().any(holds) {
        Err(Error::CaUnfinished(dir.to_owned()))
    } else {
        Ok(())
    }
}
