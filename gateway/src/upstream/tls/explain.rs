//! What went wrong in a handshake with an endpoint, and what to do about it: for the log of whoever runs the gateway, who
//! sees neither the handshake nor rustls's source.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, OtherError};

use super::verify::NotPinned;
use crate::sanitize::{Configured, SafeText, Variant, safe};

/// `upstream` is its name in the configuration.
pub(in crate::upstream) fn explain(error: &io::Error, upstream: &str) -> SafeText {
    let key = safe!("upstreams.", Configured(upstream), ".tls");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => handshake(error, &key),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            safe!(
                "the endpoint closed the connection during the handshake; does it speak TLS on this port? (",
                key,
                ")"
            )
        }
        None => safe!(*error),
    }
}

fn handshake(error: &Error, key: &SafeText) -> SafeText {
    match error {
        Error::InvalidCertificate(error) => certificate(error, key),
        Error::InvalidMessage(_) => safe!(
            "what the endpoint says is not TLS; name a port that speaks it, or remove ",
            *key,
            " if the service is in clear text"
        ),
        Error::PeerIncompatible(what) => {
            safe!("the endpoint and the gateway (TLS 1.2 and 1.3) have nothing in common: ", Variant(what))
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            safe!("the endpoint knows no server of this name; set ", *key, ".server_name")
        }
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => {
            "the endpoint asks for a client certificate, which this gateway has none of".into()
        }
        Error::AlertReceived(alert @ (AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion)) => {
            safe!(
                "the endpoint refuses the handshake (",
                Variant(alert),
                "): it supports no TLS version or cipher that is offered"
            )
        }
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the endpoint speaks none of the protocols that are offered; see `protocol` of the upstream".into()
        }
        other => safe!(*other),
    }
}

fn certificate(error: &CertificateError, key: &SafeText) -> SafeText {
    match error {
        CertificateError::UnknownIssuer => safe!(
            "the certificate's issuer is not trusted; name the PEM file of its authority in ",
            *key,
            ".ca (where it is self-signed: of the certificate itself), or the pin of its key in ",
            *key,
            ".verify.pin"
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            wrong_name(&expected.to_str(), presented.is_empty(), key)
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            safe!("the certificate expired on ", date(*not_after), "; renew it, or set this machine's clock right")
        }
        CertificateError::Expired => "the certificate has expired; renew it".into(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            safe!("the certificate is valid only from ", date(*not_before), " on; is this machine's clock right?")
        }
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            "the certificate is not one for servers (its extended key usage lacks serverAuth)".into()
        }
        CertificateError::Revoked => "the certificate was revoked by its authority".into(),
        CertificateError::BadSignature => "the certificate's signature is wrong; it was changed, or its authority's key is \
                                           another one than in the ca file"
            .into(),
        CertificateError::BadEncoding => "the certificate can't be read".into(),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the certificate is signed by an algorithm that is not accepted (SHA-1 and DSA are not); issue it anew with \
             ECDSA or RSA and SHA-256"
                .into()
        }
        CertificateError::UnhandledCriticalExtension => {
            "the certificate has a critical extension that is not known here".into()
        }
        CertificateError::Other(other) => special(other, key),
        other => safe!("the certificate is not accepted: ", Variant(other)),
    }
}

/// The names that the certificate has are not among the words: they are what the endpoint says.
fn wrong_name(expected: &str, has_none: bool, key: &SafeText) -> SafeText {
    let expected = Configured(expected);
    if has_none {
        return safe!(
            "the certificate names no host at all, and ",
            expected,
            " was expected: the names are in its subjectAltName (RFC 9525 section 2), not in its CN; make it with one \
             (openssl req -x509 ... -addext subjectAltName=DNS:",
            expected,
            ")"
        );
    }
    safe!(
        "the certificate is for other names, and ",
        expected,
        " was expected; set ",
        *key,
        ".server_name to one that it has (openssl s_client -connect HOST:PORT </dev/null | openssl x509 -noout -ext \
         subjectAltName)"
    )
}

/// What rustls has no words of its own for.
fn special(OtherError(error): &OtherError, key: &SafeText) -> SafeText {
    if error.is::<NotPinned>() {
        return safe!(
            "the endpoint's key is not a pinned one (",
            *key,
            ".verify.pin); where it was renewed, add the new pin"
        );
    }
    match error.downcast_ref::<webpki::Error>() {
        Some(webpki::Error::CaUsedAsEndEntity) => safe!(
            "the certificate is an authority's (CA:TRUE, as `openssl req -x509` makes them) and stands for a server all the \
             same; put this very certificate into the file of ",
            *key,
            ".ca, or pin its key in ",
            *key,
            ".verify.pin, or make it with -addext basicConstraints=CA:FALSE"
        ),
        Some(webpki::Error::UnsupportedCertVersion) => {
            "the certificate is of X.509 version 1; make it anew, with extensions (version 3)".into()
        }
        Some(error) => safe!("the certificate is not accepted: ", Variant(error)),
        None => "the certificate is not accepted".into(),
    }
}

fn date(time: UnixTime) -> SafeText {
    safe!(UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}
