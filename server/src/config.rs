//! The configuration file: limits and habits, each with a default that fits most. `3s-server.example.toml` lists every
//! key with its meaning, default, unit and range, and a test holds it to this file.

mod measures;

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sss_common::limits::DOCUMENT_MAX;

use crate::service::Settings;
use crate::{routes, tls};
pub use measures::Size;
use measures::{Keep, Span};

/// Everything that a configuration file can say. What it does not say has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    grants: Grants,
    sessions: Sessions,
    documents: Documents,
    requests: Requests,
    connections: Connections,
    audit: Audit,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Grants {
    default_ttl: Span,
    max_ttl: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sessions {
    ttl: Span,
    per_user: usize,
    challenge_ttl: Span,
    login_failures: u32,
    login_delay: Span,
    login_delay_max: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Documents {
    max_size: Size,
    keep_superseded: Span,
    erase_delay: Span,
    min_free: Size,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Requests {
    timeout: Span,
    idle: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Connections {
    max: usize,
    max_handshakes: usize,
    handshake_timeout: Span,
    header_timeout: Span,
    idle: Span,
    unread: Span,
    requests_at_once: u32,
    stop_timeout: Span,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Audit {
    keep: Keep,
}

/// Why a configuration cannot be used. The second line says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {error}\ngive the file's path with --config, or leave it out to run with the defaults")]
    Unreadable {
        /// Which file.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file is no TOML, or says something that is not known.
    #[error("{file}, line {line}: {what}\n3s-server.example.toml lists every key")]
    Malformed {
        /// Which file.
        file: String,
        /// Where, from 1 on.
        line: usize,
        /// What, on one line.
        what: String,
    },
    /// A value is out of its range.
    #[error("{key} = {value} is out of range\nit goes from {least} to {most}; see 3s-server.example.toml")]
    Range {
        /// Which key.
        key: &'static str,
        /// Its value.
        value: String,
        /// The least that it can be.
        least: String,
        /// The most.
        most: String,
    },
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse(&text, file),
            Err(error) => Err(ConfigError::Unreadable { file, error }),
        }
    }

    fn parse(text: &str, file: String) -> Result<Self, ConfigError> {
        let malformed = |error: toml::de::Error| {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            let what = error.message().trim_end().replace('\n', ", ");
            ConfigError::Malformed { file, line: before.matches('\n').count() + 1, what }
        };
        let config: Config = toml::from_str(text).map_err(malformed)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Config { grants, sessions, documents, requests, connections, audit } = self;
        let (second, minute, hour, day) = (Span::of(1), Span::of(60), Span::of(3600), Span::of(86_400));
        let decade = Span::of(3660 * 86_400);
        within("grants.max_ttl", grants.max_ttl, second..=decade)?;
        within("grants.default_ttl", grants.default_ttl, second..=grants.max_ttl)?;
        within("sessions.ttl", sessions.ttl, minute..=Span::of(90 * 86_400))?;
        within("sessions.per_user", sessions.per_user, 1..=100)?;
        within("sessions.challenge_ttl", sessions.challenge_ttl, second..=hour)?;
        within("sessions.login_failures", sessions.login_failures, 1..=1000)?;
        within("sessions.login_delay_max", sessions.login_delay_max, second..=day)?;
        within("sessions.login_delay", sessions.login_delay, second..=sessions.login_delay_max)?;
        within("documents.max_size", documents.max_size, Size(1)..=Size(DOCUMENT_MAX))?;
        within("documents.keep_superseded", documents.keep_superseded, second..=decade)?;
        within("documents.erase_delay", documents.erase_delay, Span(Duration::ZERO)..=minute)?;
        within("documents.min_free", documents.min_free, Size(1 << 20)..=Size(1 << 50))?;
        if let Keep::For(span) = audit.keep {
            within("audit.keep", span, day..=Span::of(100 * 366 * 86_400))?;
        }
        within("requests.timeout", requests.timeout, second..=hour)?;
        within("requests.idle", requests.idle, second..=hour)?;
        within("connections.max", connections.max, 1..=100_000)?;
        within("connections.max_handshakes", connections.max_handshakes, 1..=10_000)?;
        within("connections.handshake_timeout", connections.handshake_timeout, second..=minute)?;
        within("connections.header_timeout", connections.header_timeout, second..=hour)?;
        within("connections.idle", connections.idle, second..=day)?;
        within("connections.unread", connections.unread, second..=hour)?;
        within("connections.requests_at_once", connections.requests_at_once, 1..=10_000)?;
        within("connections.stop_timeout", connections.stop_timeout, second..=hour)
    }

    /// What the service is to keep to.
    pub fn settings(&self) -> Settings {
        let Config { grants, sessions, documents, audit, .. } = self;
        // Settings that no key stands for keep their defaults, also those still to come.
        #[allow(clippy::needless_update)]
        Settings {
            default_ttl: grants.default_ttl.0,
            max_ttl: grants.max_ttl.0,
            session_ttl: sessions.ttl.0,
            sessions_per_user: sessions.per_user,
            challenge_ttl: sessions.challenge_ttl.0,
            login_failures: sessions.login_failures,
            login_delay: sessions.login_delay.0,
            login_delay_max: sessions.login_delay_max.0,
            document_max: documents.max_size.0,
            keep_superseded: documents.keep_superseded.0,
            erase_delay: documents.erase_delay.0,
            min_free: documents.min_free.0,
            audit_keep: match audit.keep {
                Keep::Forever => None,
                Keep::For(span) => Some(span.0),
            },
            ..Settings::default()
        }
    }

    /// What a request may cost.
    pub fn request_limits(&self) -> routes::Limits {
        routes::Limits {
            request: self.requests.timeout.0,
            idle: self.requests.idle.0,
            document_max: self.documents.max_size.0,
        }
    }

    /// What a connection may cost.
    pub fn connection_limits(&self) -> tls::Limits {
        let connections = &self.connections;
        tls::Limits {
            handshake: connections.handshake_timeout.0,
            handshakes: connections.max_handshakes,
            connections: connections.max,
            header: connections.header_timeout.0,
            idle: connections.idle.0,
            unread: connections.unread.0,
            streams: connections.requests_at_once,
            stop: connections.stop_timeout.0,
        }
    }
}

fn within<T: PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (range.start().to_string(), range.end().to_string());
    Err(ConfigError::Range { key, value: value.to_string(), least, most })
}

impl Default for Grants {
    fn default() -> Self {
        let settings = Settings::default();
        Grants { default_ttl: Span(settings.default_ttl), max_ttl: Span(settings.max_ttl) }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        let settings = Settings::default();
        Sessions {
            ttl: Span(settings.session_ttl),
            per_user: settings.sessions_per_user,
            challenge_ttl: Span(settings.challenge_ttl),
            login_failures: settings.login_failures,
            login_delay: Span(settings.login_delay),
            login_delay_max: Span(settings.login_delay_max),
        }
    }
}

impl Default for Documents {
    fn default() -> Self {
        let settings = Settings::default();
        Documents {
            max_size: Size(settings.document_max),
            keep_superseded: Span(settings.keep_superseded),
            erase_delay: Span(settings.erase_delay),
            min_free: Size(settings.min_free),
        }
    }
}

impl Default for Requests {
    fn default() -> Self {
        let limits = routes::Limits::default();
        Requests { timeout: Span(limits.request), idle: Span(limits.idle) }
    }
}

impl Default for Connections {
    fn default() -> Self {
        let limits = tls::Limits::default();
        Connections {
            max: limits.connections,
            max_handshakes: limits.handshakes,
            handshake_timeout: Span(limits.handshake),
            header_timeout: Span(limits.header),
            idle: Span(limits.idle),
            unread: Span(limits.unread),
            requests_at_once: limits.streams,
            stop_timeout: Span(limits.stop),
        }
    }
}

#[cfg(test)]
mod tests;
