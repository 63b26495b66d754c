//! Certificates for servers and for people on their machines.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;
use sss_common::{MachineName, Timestamp, Uid};
use zeroize::Zeroizing;

use crate::ca::{Ca, names};
use crate::cert::{Cert, printable};
use crate::files::{self, Access, Batch, PEM_MAX};
use crate::index::Entry;
use crate::{Days, Error, Host, Serial, keys, profile};

/// A server certificate to be made.
#[derive(Clone, Debug)]
pub struct ServerRequest {
    /// The names and addresses that clients use; at least one.
    pub hosts: Vec<Host>,
    /// For how long.
    pub days: Days,
    /// Whether a key and certificate that stand there are replaced.
    pub renew: bool,
}

/// An identity to be made or renewed.
#[derive(Clone, Debug)]
pub struct EnrollRequest {
    /// The user.
    pub uid: Uid,
    /// The machine.
    pub machine: MachineName,
    /// For how long the certificate is good.
    pub days: Days,
    /// Whether the machine's name may be another user's too, because both use it.
    pub shared: bool,
}

/// What a command issued.
#[derive(Clone, Debug)]
pub struct Report {
    /// The new certificate's serial.
    pub serial: Serial,
    /// Its end.
    pub until: Timestamp,
    /// The certificate that stood there before. It stays valid until it ends or is revoked.
    pub before: Option<Serial>,
    /// Whether `user.key` was there already and was kept.
    pub kept_user_key: bool,
    /// The users who share the machine's name, beside this one.
    pub shared_with: Vec<String>,
}

impl Ca {
    /// Writes `server.crt`, `server.key`, `ca.crt` and `ca.crl` into `out`.
    ///
    /// The certificate is put there last. Between it and the key lies the one moment in which they do not belong
    /// together; who is interrupted there renews again.
    pub fn issue_server(
        &mut self,
        request: &ServerRequest,
        out: &Path,
        now: Timestamp,
    ) -> Result<Report, Error> {
        check_output(out)?;
        let (key_path, cert_path) = (out.join(names::SERVER_KEY), out.join(names::SERVER_CRT));
        if !request.renew && (files::exists(&key_path) || files::exists(&cert_path)) {
            return Err(Error::ServerExists(out.to_owned()));
        }
        let serial = Serial::random();
        let params = profile::server(&serial, self.validity(now, request.days)?, &request.hosts)?;
        let key = keys::make_ec()?;
        let issued = self.sign(&params, &*key)?;
        let before = readable_serial(&cert_path);

        files::make_private_folder(out)?;
        let mut batch = Batch::default();
        batch.replace(&out.join(names::CA_CRT), &self.cert_pem()?, Access::Public)?;
        batch.replace(&out.join(names::CA_CRL), &self.fresh_crl_pem(now)?, Access::Public)?;
        let private = keys::private_pem(&key)?;
        if request.renew {
            batch.replace(&key_path, private.as_bytes(), Access::Secret)?;
            batch.replace(&cert_path, issued.pem.as_bytes(), Access::Public)?;
        } else {
            batch.create(&key_path, private.as_bytes(), Access::Secret)?;
            batch.create(&cert_path, issued.pem.as_bytes(), Access::Public)?;
        }
        self.record(&issued.cert)?;
        batch.publish()?;
        Ok(Report {
            serial,
            until: issued.cert.not_after,
            before,
            kept_user_key: false,
            shared_with: Vec::new(),
        })
    }

    /// Writes `ca.crt`, `ca.crl`, `client.crt`, `client.key`, `user.key` and `user.pub` into `out`. Keys that stand there are
    /// kept, and the certificate is made for them.
    pub fn enroll(&mut self, request: &EnrollRequest, out: &Path, now: Timestamp) -> Result<Report, Error> {
        check_output(out)?;
        let cert_path = out.join(names::CLIENT_CRT);
        self.check_identity(out, &cert_path, &request.uid)?;
        let shared_with = self.check_node(request, now)?;
        let serial = Serial::random();
        let validity = self.validity(now, request.days)?;
        let params = profile::node(&serial, validity, &request.machine, &request.uid)?;
        let user = UserKey::keep_or_make(out)?;
        let node = NodeKey::keep_or_make(out)?;
        let issued = self.sign(&params, &*node.key)?;
        let before = readable_serial(&cert_path);

        files::make_private_folder(out)?;
        let mut batch = Batch::default();
        user.stage(out, &mut batch)?;
        node.stage(&mut batch)?;
        batch.replace(&out.join(names::CA_CRT), &self.cert_pem()?, Access::Public)?;
        batch.replace(&out.join(names::CA_CRL), &self.fresh_crl_pem(now)?, Access::Public)?;
        batch.replace(&cert_path, issued.pem.as_bytes(), Access::Public)?;
        self.record(&issued.cert)?;
        batch.publish()?;
        Ok(Report {
            serial,
            until: issued.cert.not_after,
            before,
            kept_user_key: user.new.is_none(),
            shared_with,
        })
    }

    /// A node's name says which machine it was, so it is not given to two machines by mistake. Who else has it now, as far as
    /// the index knows; refused unless that was asked for, or is so already.
    fn check_node(&self, request: &EnrollRequest, now: Timestamp) -> Result<Vec<String>, Error> {
        let live =
            self.index().entries().iter().filter(|entry| entry.revoked.is_none() && entry.not_after > now);
        let holders = live.filter_map(Entry::holder).filter(|(_, node)| *node == request.machine.as_str());
        let holders: BTreeSet<&str> = holders.map(|(uid, _)| uid).collect();
        let others = holders.iter().filter(|uid| **uid != request.uid.as_str());
        let others: Vec<String> = others.map(ToString::to_string).collect();
        if others.is_empty() || request.shared || holders.contains(request.uid.as_str()) {
            return Ok(others);
        }
        let (node, asked) = (request.machine.clone(), request.uid.clone());
        Err(Error::NodeOfOther { node, theirs: others.join(", "), asked })
    }

    /// An identity is renewed for its own user only, and not on a key that was taken back.
    fn check_identity(&self, dir: &Path, cert: &Path, uid: &Uid) -> Result<(), Error> {
        let Ok(cert) = Cert::read(cert) else { return Ok(()) };
        if cert.is_issued_by(self.cert()) && self.is_revoked(&cert.serial)? {
            return Err(Error::RevokedIdentity(dir.to_owned()));
        }
        match cert.unit {
            Some(theirs) if theirs != uid.as_str() => {
                Err(Error::OtherUser { dir: dir.to_owned(), theirs: printable(&theirs), asked: uid.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// A user's key pair: the one that is there, or a new one.
struct UserKey {
    new: Option<Zeroizing<String>>,
    public_pem: String,
}

impl UserKey {
    fn keep_or_make(dir: &Path) -> Result<Self, Error> {
        let (private, public) = (dir.join(names::USER_KEY), dir.join(names::USER_PUB));
        if files::exists(&private) {
            let public_pem = keys::read_user_public_pem(&private)?;
            check_public(&public, &public_pem)?;
            return Ok(UserKey { new: None, public_pem });
        }
        if files::exists(&public) {
            return Err(Error::PublicKey(public));
        }
        let key = keys::make_user()?;
        Ok(UserKey { new: Some(keys::private_pem(&key)?), public_pem: key.public_key_pem() })
    }

    fn stage(&self, dir: &Path, batch: &mut Batch) -> Result<(), Error> {
        if let Some(private) = &self.new {
            batch.create(&dir.join(names::USER_KEY), private.as_bytes(), Access::Secret)?;
        }
        let public = dir.join(names::USER_PUB);
        match files::exists(&public) {
            true => Ok(()),
            false => batch.create(&public, self.public_pem.as_bytes(), Access::Public),
        }
    }
}

/// A node's key: the one that is there, or a new one.
struct NodeKey {
    path: PathBuf,
    key: Zeroizing<KeyPair>,
    is_new: bool,
}

impl NodeKey {
    fn keep_or_make(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(names::CLIENT_KEY);
        let is_new = !files::exists(&path);
        let key = if is_new { keys::make_ec()? } else { keys::read(&path)? };
        Ok(NodeKey { path, key, is_new })
    }

    fn stage(&self, batch: &mut Batch) -> Result<(), Error> {
        match self.is_new {
            true => batch.create(&self.path, keys::private_pem(&self.key)?.as_bytes(), Access::Secret),
            false => Ok(()),
        }
    }
}

/// A `user.pub` that stands there must be of the same pair, however its lines are broken.
fn check_public(path: &Path, expected: &str) -> Result<(), Error> {
    if !files::exists(path) {
        return Ok(());
    }
    let bytes = files::read(path, PEM_MAX)?;
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    let found = std::str::from_utf8(&bytes).map(plain);
    if found == Ok(plain(expected)) { Ok(()) } else { Err(Error::PublicKey(path.to_owned())) }
}

fn check_output(out: &Path) -> Result<(), Error> {
    if files::exists(&out.join(names::CA_KEY)) { Err(Error::OutputIsCa(out.to_owned())) } else { Ok(()) }
}

fn readable_serial(cert: &Path) -> Option<Serial> {
    Cert::read(cert).ok().map(|cert| cert.serial)
}
