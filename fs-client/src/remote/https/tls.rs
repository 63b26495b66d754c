//! The TLS side: what this node shows and believes, and what a failed handshake means in words.

use std::error::Error;
use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
};
use sss_common::clock::monotonic;
use sss_common::login::ServerKey;
use sss_common::{Advised, Code};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ServerAddress;
use crate::identity::Identity;
use crate::remote::RemoteError;

/// TLS 1.3 only, X25519MLKEM768 preferred, only `ca.crt` believed and nothing that `ca.crl` names, the node's certificate shown.
/// No resumption: each connection meets the current revocation lists of both sides.
pub fn client_config(identity: &Identity) -> Result<ClientConfig, Advised> {
    let dir = identity.dir.display();
    let mut roots = RootCertStore::empty();
    for certificate in &identity.roots {
        roots.add(certificate.clone()).map_err(|reason| {
            Advised::new(
                format!("{dir}/ca.crt cannot be used: {reason}"),
                "it must be the certificate of the authority (X.509 v3, CA:TRUE); `3s-ca enroll` puts it there",
            )
        })?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // Without a list of its authority a server's certificate is believed; a list counts beyond its end.
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .with_crls(identity.lists.der())
        .allow_unknown_revocation_status()
        .build()
        .map_err(|reason| {
            Advised::new(
                format!("{dir}/ca.crl cannot be used: {reason}"),
                "copy the newest ca.crl from the CA's folder, or `3s-ca enroll` again",
            )
        })?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| {
            builder
                .with_webpki_verifier(verifier)
                .with_client_auth_cert(identity.chain.clone(), identity.expose_client_key())
        })
        .map_err(|reason| match reason {
            rustls::Error::InconsistentKeys(_) => Advised::new(
                format!("{dir}/client.key is not the key of {dir}/client.crt"),
                "put back the pair that was issued together, or renew it with `3s-ca enroll`",
            ),
            reason => Advised::new(
                format!("{dir}/client.crt and client.key cannot be used: {reason}"),
                "renew them with `3s-ca enroll`",
            ),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// The public key in a certificate; `None` when it cannot be read.
pub fn public_key(certificate: &[u8]) -> Option<ServerKey> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(ServerKey::of(parsed.public_key().raw))
}

/// What a TLS failure somewhere below `error` means; `None` when TLS is not what failed.
pub fn explain(error: &(dyn Error + 'static), address: &ServerAddress) -> Option<RemoteError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An `io::Error` passes over the error that it wraps in its `source`.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = error
            .downcast_ref::<rustls::Error>()
            .or_else(|| wrapped.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        if let Some(tls) = tls {
            return Some(in_words(tls, address));
        }
        cause = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

fn in_words(error: &rustls::Error, address: &ServerAddress) -> RemoteError {
    use AlertDescription as Alert;
    let node_refused = |code, why: &str| {
        RemoteError::refused(code, format!("the server {address} refused this node's certificate: {why}"))
    };
    let server = |what: String| RemoteError::Unreachable(what);
    match error {
        rustls::Error::AlertReceived(alert) => match alert {
            Alert::CertificateRevoked => node_refused(Code::SessionRevoked, "revoked"),
            Alert::CertificateExpired => node_refused(Code::SessionExpired, "it has ended"),
            // An authority of the same name with another key shows as a signature that does not fit.
            Alert::UnknownCA | Alert::DecryptError => {
                node_refused(Code::SessionExpired, "it is not from an authority that it knows")
            }
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::AccessDenied => node_refused(Code::SessionExpired, &format!("{alert:?}")),
            Alert::ProtocolVersion => {
                server(format!("{address} does not speak TLS 1.3, so it is not a 3S server"))
            }
            alert => server(format!("{address} refused the TLS handshake: {alert:?}")),
        },
        rustls::Error::InvalidCertificate(reason) => {
            let why = match reason {
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    format!("is not for `{}`", address.host())
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has ended".into(),
                CertificateError::Revoked => "is revoked: it may be stolen".into(),
                CertificateError::UnknownIssuer => {
                    "is not from the authority in this identity's ca.crt".into()
                }
                CertificateError::BadSignature => {
                    "is not from the authority in this identity's ca.crt".into()
                }
                reason => format!("cannot be believed ({reason})"),
            };
            server(format!("the certificate that {address} shows {why}"))
        }
        rustls::Error::InvalidMessage(_) => {
            server(format!("{address} does not speak TLS, so it is not a 3S server"))
        }
        error => server(format!("TLS with {address} failed: {error}")),
    }
}

/// Asks the server once more, with a handshake and nothing else, why it hangs up.
///
/// In TLS 1.3 a server refuses the node's certificate when the client already believes itself connected, and
/// the alert that says why is lost when the client's first request crosses it. Here nothing crosses it.
/// Blocks for at most `limit`; a server that is content says nothing, so that is the answer then.
pub fn diagnose(config: &Arc<ClientConfig>, address: &ServerAddress, limit: Duration) -> Option<RemoteError> {
    let ends = monotonic() + limit;
    let mut socket = (address.host(), address.port())
        .to_socket_addrs()
        .ok()?
        .find_map(|at| TcpStream::connect_timeout(&at, limit).ok())?;
    let mut tls = ClientConnection::new(config.clone(), address.server_name()?).ok()?;
    // Without ALPN's answer and session tickets there may be nothing to read: the limit ends it.
    while let Some(left) = ends.checked_duration_since(monotonic()).filter(|left| !left.is_zero()) {
        socket.set_read_timeout(Some(left)).ok()?;
        let mut stream = StreamOwned::new(tls, socket);
        match stream.read(&mut [0; 1]) {
            Ok(_) => return None,
            Err(error) => {
                if let Some(words) = explain(&error, address) {
                    return Some(words);
                }
            }
        }
        (tls, socket) = stream.into_parts();
    }
    None
}
