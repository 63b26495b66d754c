//! `HOST:PORT` and `UID@HOST:PORT`, parsed once.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::ServerName;
use sss_common::Uid;

/// Where a server listens. Its certificate must name this host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

/// A user at a server: `alice@files.example.org:8443`, `alice@[::1]:8443`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Who mounts.
    pub uid: Uid,
    /// From where.
    pub server: ServerAddress,
}

/// Why a text is no address. Its words say what is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    /// No `@`.
    #[error("`{0}` does not say who mounts: it reads UID@HOST:PORT, like alice@files.example.org:8443")]
    NoUser(String),
    /// The part before `@` is no user id.
    #[error("`{0}` cannot be a user: {1}")]
    User(String, sss_common::name::NameError),
    /// No port, or one that cannot be.
    #[error("`{0}` has no port: it reads HOST:PORT, like files.example.org:8443 or [::1]:8443")]
    Port(String),
    /// The host is neither a DNS name nor an IP address.
    #[error("`{0}` is neither a host name nor an IP address; an IPv6 address stands in brackets")]
    Host(String),
}

impl ServerAddress {
    /// The host as a certificate names it, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that the server's certificate must carry.
    pub(super) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for ServerAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| NotAnAddress::Port(text.into()))?;
        // `u16::from_str` takes a leading `+`.
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0);
        let port = port.ok_or_else(|| NotAnAddress::Port(text.into()))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let fits = match bare {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.contains(':') && ServerName::try_from(host).is_ok(),
        };
        match fits {
            true => Ok(ServerAddress { host: bare.unwrap_or(host).into(), port }),
            false => Err(NotAnAddress::Host(host.into())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.uid, self.server)
    }
}

impl FromStr for Target {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let (uid, server) = text.split_once('@').ok_or_else(|| NotAnAddress::NoUser(text.into()))?;
        let uid = uid.parse().map_err(|reason| NotAnAddress::User(uid.into(), reason))?;
        Ok(Target { uid, server: server.parse()? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_both_kinds_of_addresses() {
        for (text, host, port) in [
            ("files.example.org:8443", "files.example.org", 8443),
            ("localhost:1", "localhost", 1),
            ("127.0.0.1:8443", "127.0.0.1", 8443),
            ("[::1]:8443", "::1", 8443),
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string(), text);
            assert!(address.server_name().is_some());
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let said = |text: &str| text.parse::<Target>().unwrap_err().to_string();
        assert!(said("host:8443").contains("UID@HOST:PORT"));
        assert!(said("al ice@host:8443").contains("cannot be a user"));
        assert!(said("ALL@host:8443").contains("cannot be a user"));
        for text in ["alice@host", "alice@host:", "alice@host:0", "alice@host:+1", "alice@host:70000"] {
            assert!(said(text).contains("HOST:PORT"), "{text}");
        }
        for text in ["alice@::1:8443", "alice@[::1:8443", "alice@:8443", "alice@ho st:8443", "alice@h/x:1"] {
            assert!(said(text).contains("neither a host name"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_shows_itself(text in "[a-z@\\[\\]:.0-9]{0,24}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
            }
        }
    }
}
