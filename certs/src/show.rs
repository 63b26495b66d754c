//! What a file says, in words. Private keys are named by kind and size; nothing of what they hold is printed.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::{PemObject, SectionKind};
use sha2::{Digest, Sha256};
use sss_common::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

use crate::cert::{self, printable, timestamp};
use crate::files::{self, LIST_MAX};
use crate::{Error, crl};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before an end it is pointed out; the server's log begins then too.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Describes everything in a PEM file: certificates, revocation lists, keys.
pub fn show(path: &Path, now: Timestamp) -> Result<String, Error> {
    let bytes = files::read(path, LIST_MAX)?;
    let nothing = || Error::NothingToShow(path.to_owned());
    let mut sections = Vec::new();
    for item in <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes) {
        let (kind, der) = item.map_err(|_| nothing())?;
        let der = Zeroizing::new(der);
        sections.push(describe(kind, &der, now).ok_or_else(nothing)?);
    }
    if sections.is_empty() { Err(nothing()) } else { Ok(sections.join("\n")) }
}

fn describe(kind: SectionKind, der: &[u8], now: Timestamp) -> Option<String> {
    let lines = match kind {
        SectionKind::Certificate => certificate(&cert::parse(der)?, der, now),
        SectionKind::Crl => revocation_list(&crl::parse(der)?, der, now),
        SectionKind::PublicKey => public_key("public key", der)?,
        SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => private_key(der)?,
        _ => return None,
    };
    Some(lines.0)
}

/// A title and aligned lines below it.
struct Lines(String);

impl Lines {
    fn new(title: &str) -> Self {
        Lines(format!("{title}\n"))
    }

    fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let value = printable(value.as_ref());
        self.0.push_str(format!("  {name:<12}{value}").trim_end());
        self.0.push('\n');
    }
}

fn certificate(x509: &X509Certificate<'_>, der: &[u8], now: Timestamp) -> Lines {
    let mut lines = Lines::new("certificate");
    let (from, until) = (timestamp(x509.validity().not_before), timestamp(x509.validity().not_after));
    let state = match () {
        () if now < from => " (not yet)".into(),
        () if now > until => " (over)".into(),
        () => soon(until, now).map_or_else(String::new, |left| format!(" (ends {left})")),
    };
    lines.add("subject", x509.subject().to_string());
    lines.add("issuer", x509.issuer().to_string());
    lines.add("serial", hex::encode_upper(trimmed(x509.raw_serial())));
    lines.add("valid", format!("{from} to {until}{state}"));
    for extension in x509.extensions() {
        if let Some((name, value)) = extension_line(extension) {
            lines.add(name, value);
        }
    }
    lines.add("authority", if x509.is_ca() { "yes: it signs certificates" } else { "no" });
    lines.add("key", key_size(x509.public_key()));
    lines.add("key SHA-256", fingerprint(x509.public_key().raw));
    lines.add("SHA-256", fingerprint(der));
    lines
}

/// How long there is left, where that is so little that somebody must do something.
fn soon(end: Timestamp, now: Timestamp) -> Option<String> {
    let left = end.since(now);
    match left.as_secs() / DAY.as_secs() {
        _ if left > SOON => None,
        0 => Some("within a day".into()),
        1 => Some("in 1 day".into()),
        days => Some(format!("in {days} days")),
    }
}

fn extension_line(extension: &X509Extension<'_>) -> Option<(&'static str, String)> {
    match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => {
            Some(("names", names.general_names.iter().map(name).collect::<Vec<_>>().join(", ")))
        }
        ParsedExtension::KeyUsage(usage) => Some(("key usage", usage.to_string())),
        ParsedExtension::ExtendedKeyUsage(usage) => Some(("purpose", purposes(usage))),
        _ => None,
    }
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(text) => format!("DNS:{text}"),
        GeneralName::IPAddress(bytes) => match ip(bytes) {
            Some(ip) => format!("IP:{ip}"),
            None => format!("IP:{}", hex::encode(bytes)),
        },
        other => other.to_string(),
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn purposes(usage: &ExtendedKeyUsage<'_>) -> String {
    let known = [
        (usage.any, "any"),
        (usage.server_auth, "TLS server"),
        (usage.client_auth, "TLS client"),
        (usage.code_signing, "code signing"),
        (usage.email_protection, "e-mail"),
        (usage.time_stamping, "time stamping"),
        (usage.ocsp_signing, "OCSP signing"),
    ];
    let known = known.into_iter().filter(|(set, _)| *set).map(|(_, word)| word.to_owned());
    known.chain(usage.other.iter().map(|oid| oid.to_id_string())).collect::<Vec<_>>().join(", ")
}

fn revocation_list(list: &CertificateRevocationList<'_>, der: &[u8], now: Timestamp) -> Lines {
    let mut lines = Lines::new("certificate revocation list");
    lines.add("issuer", list.issuer().to_string());
    if let Some(number) = list.crl_number() {
        lines.add("number", number.to_string());
    }
    lines.add("issued", timestamp(list.last_update()).to_string());
    match list.next_update().map(timestamp) {
        Some(next) if next < now => lines.add("next due", format!("{next} (overdue)")),
        Some(next) => {
            let left = soon(next, now).map_or_else(String::new, |left| format!(" ({left})"));
            lines.add("next due", format!("{next}{left}"));
        }
        None => lines.add("next due", "not said"),
    }
    lines.add("SHA-256", fingerprint(der));
    lines.add("revoked", list.iter_revoked_certificates().count().to_string());
    for entry in list.iter_revoked_certificates() {
        let serial = hex::encode_upper(trimmed(entry.raw_serial()));
        let _ = writeln!(lines.0, "    {serial} at {}", timestamp(entry.revocation_date));
    }
    lines
}

fn private_key(der: &[u8]) -> Option<Lines> {
    let key = PrivateKeyDer::try_from(der).ok()?;
    let pair = Zeroizing::new(KeyPair::try_from(&key).ok()?);
    public_key("private key", &pair.subject_public_key_info())
}

fn public_key(title: &str, spki: &[u8]) -> Option<Lines> {
    let Ok(([], key)) = SubjectPublicKeyInfo::from_der(spki) else { return None };
    let mut lines = Lines::new(title);
    lines.add("key", key_size(&key));
    // The same for a private key, its public half and its certificate: what belongs together shows.
    lines.add("key SHA-256", fingerprint(spki));
    Some(lines)
}

fn key_size(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let modulus = trimmed(rsa.modulus);
            let spare = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
            format!("RSA, {} bits", modulus.len() * 8 - spare)
        }
        Ok(PublicKey::EC(_)) => format!("ECDSA, {}", curve(key)),
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519, 256 bits".into(),
        _ => format!("of kind {}", key.algorithm.algorithm.to_id_string()),
    }
}

fn curve(key: &SubjectPublicKeyInfo<'_>) -> String {
    let curve = key.algorithm.parameters.as_ref().and_then(|any| any.clone().oid().ok());
    match curve.map(|oid| oid.to_id_string()).as_deref() {
        Some("1.2.840.10045.3.1.7") => "P-256, 256 bits".into(),
        Some("1.3.132.0.34") => "P-384, 384 bits".into(),
        Some("1.3.132.0.35") => "P-521, 521 bits".into(),
        other => format!("curve {}", other.unwrap_or("not said")),
    }
}

/// An integer's bytes without the leading zero that DER adds.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len().saturating_sub(1));
    &bytes[start..]
}

fn fingerprint(bytes: &[u8]) -> String {
    let pairs: Vec<String> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}
