//! Taking a certificate back.

use std::path::{Path, PathBuf};

use sss_common::Timestamp;

use crate::ca::Ca;
use crate::cert::Cert;
use crate::index::Entry;
use crate::{Error, Serial, files};

/// Which certificate: `CERT_OR_SERIAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one in this file.
    File(PathBuf),
    /// The one with this serial.
    Serial(Serial),
}

impl Target {
    /// A file if there is one of that name, else a serial.
    pub fn find(text: &str) -> Result<Self, Error> {
        let path = Path::new(text);
        if files::exists(path) {
            return Ok(Target::File(path.to_owned()));
        }
        text.parse().map(Target::Serial).map_err(|_| Error::NotATarget(text.into()))
    }
}

/// What was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Which certificate.
    pub serial: Serial,
    /// Whose it was.
    pub subject: String,
    /// When it had been revoked already, if it had.
    pub before: Option<Timestamp>,
    /// The number of the list that says so.
    pub crl_number: u64,
}

impl Ca {
    /// Revokes a certificate and signs the next list. For one that is revoked already it signs the list anew, which
    /// also finishes a revocation that was interrupted.
    ///
    /// The index goes first: a list that lacks the revocation is then signed anew by the next command.
    pub fn revoke(&mut self, target: &Target, now: Timestamp) -> Result<Revoked, Error> {
        let serial = match target {
            Target::File(path) => self.issued_in_file(path)?,
            Target::Serial(serial) => serial.clone(),
        };
        if serial == self.cert().serial {
            return Err(Error::IsRoot);
        }
        // The published list must be usable before anything is noted.
        let published = self.crl()?;
        let listed = published.revoked.iter().find(|(other, _)| *other == serial).map(|(_, at)| *at);
        let entry = self.index_mut().find_mut(&serial).ok_or_else(|| Error::NotIssued(serial.clone()))?;
        let before = entry.revoked.or(listed);
        entry.revoked = Some(before.unwrap_or(now));
        let subject = entry.subject().to_owned();
        self.save_index()?;
        let crl_number = self.write_crl(now)?.number;
        Ok(Revoked { serial, subject, before, crl_number })
    }

    /// The serial of this CA's certificate in a file. One that the index has lost is noted there again.
    fn issued_in_file(&mut self, path: &Path) -> Result<Serial, Error> {
        let cert = Cert::read(path)?;
        if cert.der() == self.cert().der() {
            return Err(Error::IsRoot);
        }
        if !cert.is_issued_by(self.cert()) {
            return Err(Error::ForeignCertificate(path.to_owned()));
        }
        if self.index_mut().find_mut(&cert.serial).is_none() {
            let entry = Entry::new(cert.serial.clone(), cert.kind, cert.not_after, &cert.subject);
            self.index_mut().push(entry);
        }
        Ok(cert.serial)
    }
}
