//! The names and addresses that a server's certificate speaks for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rcgen::SanType;
use rustls_pki_types::ServerName;

use crate::Error;

/// A DNS name (lower case, no final dot, no wildcard) or an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// What clients look up.
    Dns(String),
    /// What clients connect to without looking up.
    Ip(IpAddr),
}

impl Host {
    /// The certificate's entry for it.
    pub fn to_san(&self) -> Result<SanType, Error> {
        match self {
            Host::Dns(name) => Ok(SanType::DnsName(name.as_str().try_into().map_err(Error::signing)?)),
            Host::Ip(ip) => Ok(SanType::IpAddress(*ip)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Dns(name) => f.write_str(name),
            Host::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The text is neither a DNS name nor an IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a host is a DNS name like store.example.org or an IP address, without port, wildcard or final dot")]
pub struct NotAHost;

impl FromStr for Host {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        match ServerName::try_from(text).map_err(|_| NotAHost)? {
            ServerName::DnsName(name) if !text.ends_with('.') => {
                Ok(Host::Dns(name.as_ref().to_ascii_lowercase()))
            }
            ServerName::IpAddress(ip) => Ok(Host::Ip(ip.into())),
            _ => Err(NotAHost),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_addresses() {
        assert_eq!("Store.Example.org".parse(), Ok(Host::Dns("store.example.org".into())));
        assert_eq!("127.0.0.1".parse(), Ok(Host::Ip([127, 0, 0, 1].into())));
        assert_eq!("::1".parse::<Host>().unwrap().to_string(), "::1");
        assert_eq!("localhost".parse(), Ok(Host::Dns("localhost".into())));
    }

    #[test]
    fn what_no_client_would_match_is_refused() {
        let long = "a.".repeat(127) + "b";
        for text in
            ["", "*.example.org", "example.org.", "example.org:443", "[::1]", "1.2.3.4.5", "a b", &long, "é"]
        {
            assert_eq!(text.parse::<Host>(), Err(NotAHost), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_every_host_fits_a_certificate(text in "\\PC{0,40}|[a-z0-9.:-]{0,40}") {
            if let Ok(host) = text.parse::<Host>() {
                prop_assert!(host.to_san().is_ok());
                prop_assert_eq!(host.to_string().parse(), Ok(host));
            }
        }
    }
}
