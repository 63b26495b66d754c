//! What our certificates say: subject, names, usages, times.
//!
//! All carry critical basic constraints and key usage, and the identifiers of their own key and of the issuer's, which
//! strict verifiers (Python 3.13's default, `openssl verify -x509_strict`) ask for. They begin an hour early, for
//! clocks that are late.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType,
};
use sss_common::{MachineName, Timestamp, Uid};
use x509_parser::time::ASN1Time;

use crate::{Days, Error, Host, Serial};

/// How long before the present a certificate begins.
pub const BACKDATED: Duration = Duration::from_secs(3600);

/// Longest common name in bytes (X.520's upper bound).
const COMMON_NAME_MAX: usize = 64;

/// The present moment and the last one of a certificate's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// When it is issued.
    pub now: Timestamp,
    /// Its end, in whole seconds.
    pub until: Timestamp,
}

impl Validity {
    /// `days` from now on.
    pub fn new(now: Timestamp, days: Days) -> Self {
        Validity { now, until: whole_seconds(now.after(days.duration())) }
    }
}

/// The root. Its name has a random part, so that two roots cannot be taken for each other.
pub fn root(serial: &Serial, validity: Validity) -> Result<CertificateParams, Error> {
    let name = format!("3S root {}", hex::encode(&serial.as_bytes()[..serial.as_bytes().len().min(4)]));
    let mut params = common(serial, validity, subject(None, &name))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A server that clients reach as any of `hosts`.
pub fn server(serial: &Serial, validity: Validity, hosts: &[Host]) -> Result<CertificateParams, Error> {
    let first = hosts.first().ok_or(Error::NoHost)?.to_string();
    let name = if first.len() <= COMMON_NAME_MAX { &first } else { "3S server" };
    let mut params = common(serial, validity, subject(None, name))?;
    params.subject_alt_names = hosts.iter().map(Host::to_san).collect::<Result<_, _>>()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// A client machine. The common name is its identity; the user's id stands there for people only.
pub fn node(
    serial: &Serial,
    validity: Validity,
    node: &MachineName,
    uid: &Uid,
) -> Result<CertificateParams, Error> {
    let mut params = common(serial, validity, subject(Some(uid), node.as_str()))?;
    params.subject_alt_names = node_names(node)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// A node's name as an alternative name too; none when it could be no DNS name (`a..b`).
fn node_names(node: &MachineName) -> Result<Vec<SanType>, Error> {
    match node.as_str().parse::<Host>() {
        Ok(host) => Ok(vec![host.to_san()?]),
        Err(_) => Ok(Vec::new()),
    }
}

fn common(
    serial: &Serial,
    validity: Validity,
    subject: DistinguishedName,
) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial.into());
    params.distinguished_name = subject;
    params.not_before = asn1(backdated(validity.now))?.to_datetime();
    params.not_after = asn1(validity.until)?.to_datetime();
    // `ExplicitNoCa` writes the basic constraints and the subject key identifier; `NoCa` would leave out both.
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn subject(unit: Option<&Uid>, common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "3S");
    if let Some(uid) = unit {
        name.push(DnType::OrganizationalUnitName, uid.as_str());
    }
    name.push(DnType::CommonName, common_name);
    name
}

/// `now` less [`BACKDATED`].
pub fn backdated(now: Timestamp) -> Timestamp {
    let early = i64::try_from(BACKDATED.as_millis()).unwrap_or(0);
    Timestamp(now.millis().saturating_sub(early))
}

/// Our time as a certificate's, rounded down to its seconds.
pub fn asn1(at: Timestamp) -> Result<ASN1Time, Error> {
    ASN1Time::from_timestamp(at.millis().div_euclid(1000)).map_err(Error::signing)
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp(at.millis().div_euclid(1000) * 1000)
}
