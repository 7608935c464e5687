//! What went wrong in a handshake with an endpoint, and what to do about it: for the log of whoever runs the gateway, who
//! sees neither the handshake nor rustls's source.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, OtherError};

use super::verify::NotPinned;

/// `upstream` is its name in the configuration.
pub(in crate::upstream) fn explain(error: &io::Error, upstream: &str) -> String {
    let key = format!("upstreams.{upstream}.tls");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => handshake(error, &key),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!("the endpoint closed the connection during the handshake; does it speak TLS on this port? ({key})")
        }
        None => error.to_string(),
    }
}

fn handshake(error: &Error, key: &str) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error, key),
        Error::InvalidMessage(_) => format!(
            "what the endpoint says is not TLS; name a port that speaks it, or remove {key} if the service is in clear text"
        ),
        Error::PeerIncompatible(what) => {
            format!("the endpoint and the gateway (TLS 1.2 and 1.3) have nothing in common: {what:?}")
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("the endpoint knows no server of this name; set {key}.server_name")
        }
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => {
            "the endpoint asks for a client certificate, which this gateway has none of".to_owned()
        }
        Error::AlertReceived(alert @ (AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion)) => {
            format!(
                "the endpoint refuses the handshake ({alert:?}): it supports no TLS version or cipher that is offered"
            )
        }
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the endpoint speaks none of the protocols that are offered; see `protocol` of the upstream".to_owned()
        }
        other => other.to_string(),
    }
}

fn certificate(error: &CertificateError, key: &str) -> String {
    match error {
        CertificateError::UnknownIssuer => format!(
            "the certificate's issuer is not trusted; name the PEM file of its authority in {key}.ca (where it is \
             self-signed: of the certificate itself), or the pin of its key in {key}.verify.pin"
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                return format!(
                    "the certificate names no host at all, and {expected} was expected: the names are in its \
                     subjectAltName (RFC 9525 section 2), not in its CN; make it with one (openssl req -x509 ... -addext \
                     subjectAltName=DNS:{expected})"
                );
            }
            let presented = presented.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("the certificate is for {presented}, and {expected} was expected; set {key}.server_name to its name")
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate expired on {}; renew it, or set this machine's clock right", date(*not_after))
        }
        CertificateError::Expired => "the certificate has expired; renew it".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the certificate is valid only from {} on; is this machine's clock right?", date(*not_before))
        }
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            "the certificate is not one for servers (its extended key usage lacks serverAuth)".to_owned()
        }
        CertificateError::Revoked => "the certificate was revoked by its authority".to_owned(),
        CertificateError::BadSignature => "the certificate's signature is wrong; it was changed, or its authority's key \
                                           is another one than in the ca file"
            .to_owned(),
        CertificateError::BadEncoding => "the certificate can't be read".to_owned(),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the certificate is signed by an algorithm that is not accepted (SHA-1 and DSA are not); issue it anew with \
             ECDSA or RSA and SHA-256"
                .to_owned()
        }
        CertificateError::UnhandledCriticalExtension => {
            "the certificate has a critical extension that is not known here".to_owned()
        }
        CertificateError::Other(other) => special(other, key),
        other => Error::InvalidCertificate(other.clone()).to_string(),
    }
}

/// What rustls has no words of its own for.
fn special(OtherError(error): &OtherError, key: &str) -> String {
    if error.is::<NotPinned>() {
        return format!(
            "the endpoint's key is not a pinned one ({key}.verify.pin); where it was renewed, add the new pin"
        );
    }
    match error.downcast_ref::<webpki::Error>() {
        Some(webpki::Error::CaUsedAsEndEntity) => format!(
            "the certificate is an authority's (CA:TRUE, as `openssl req -x509` makes them) and stands for a server all the \
             same; put this very certificate into the file of {key}.ca, or pin its key in {key}.verify.pin, or make it with \
             -addext basicConstraints=CA:FALSE"
        ),
        Some(webpki::Error::UnsupportedCertVersion) => {
            "the certificate is of X.509 version 1; make it anew, with extensions (version 3)".to_owned()
        }
        _ => error.to_string(),
    }
}

fn date(time: UnixTime) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}
