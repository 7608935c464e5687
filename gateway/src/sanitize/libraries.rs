//! Errors of libraries as text that may leave: what they are, without what they repeat of a peer's bytes.
//!
//! h2 shows the debug data of a GOAWAY, quinn the reason of a close, h3 names of fields, rustls the names in a certificate,
//! and an [`io::Error`] whatever was put into it. None of that is looked for and taken out: nothing gets in but codes and words of
//! the libraries' own.

use std::fmt::{self, Debug, Write};
use std::io;

use h3::error::{ConnectionError as Http3Error, LocalError, StreamError};
use tokio::task::JoinError;

use super::{Safe, as_displayed};

/// The name of an error's variant, which is a word of the program, without what it holds. It is what a derived `Debug` begins
/// with.
pub struct Variant<'a, E>(pub &'a E);

impl<E: Debug> Safe for Variant<'_, E> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        struct Name<'a>(&'a mut dyn Write);
        impl Write for Name<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
                self.0.write_str(&text[..end])?;
                // What follows is not even made.
                if end < text.len() { Err(fmt::Error) } else { Ok(()) }
            }
        }
        let _ = write!(Name(out), "{:?}", self.0);
        Ok(())
    }
}

/// The system's word where there is one, that of TLS, or the kind.
impl Safe for io::Error {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        if let Some(code) = self.raw_os_error() {
            return write!(out, "{}", Self::from_raw_os_error(code));
        }
        match self.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => error.write(out),
            None => write!(out, "{}", self.kind()),
        }
    }
}

impl Safe for rustls::Error {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            Self::InvalidCertificate(why) => {
                out.write_str("invalid peer certificate: ")?;
                Variant(why).write(out)
            }
            Self::PeerIncompatible(why) => {
                out.write_str("peer is incompatible: ")?;
                Variant(why).write(out)
            }
            Self::PeerMisbehaved(why) => {
                out.write_str("peer misbehaved: ")?;
                Variant(why).write(out)
            }
            Self::InvalidMessage(why) => {
                out.write_str("received a corrupt message: ")?;
                Variant(why).write(out)
            }
            // Types of messages and alerts are numbers.
            Self::InappropriateMessage { .. }
            | Self::InappropriateHandshakeMessage { .. }
            | Self::AlertReceived(_)
            | Self::NoCertificatesPresented
            | Self::DecryptError
            | Self::EncryptError
            | Self::PeerSentOversizedRecord
            | Self::HandshakeNotComplete
            | Self::NoApplicationProtocol => write!(out, "{self}"),
            other => Variant(other).write(out),
        }
    }
}

// Without its source it is a sentence of hyper's own.
as_displayed!(hyper::Error);

// It knows of a subscriber that is gone or poisoned, and of nothing else.
as_displayed!(tracing_subscriber::reload::Error);

/// What the system's resolver says, which are sentences of its own tables: its errors have no number that tells of them.
pub struct LookupError<'a>(pub &'a io::Error);

impl Safe for LookupError<'_> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// What became of a file with the system's root certificates.
impl Safe for rustls_native_certs::Error {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        use rustls_native_certs::ErrorKind;
        out.write_str(self.context)?;
        match &self.kind {
            ErrorKind::Io { inner, path } => {
                write!(out, " at '{}': ", path.display())?;
                inner.write(out)
            }
            // What is in the file is not told.
            ErrorKind::Os(_) => out.write_str(": the system's store can't be read"),
            ErrorKind::Pem(_) => out.write_str(": not PEM"),
            _ => Ok(()),
        }
    }
}

/// Without the paths: whoever watches them knows them.
impl Safe for notify::Error {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match &self.kind {
            notify::ErrorKind::Io(error) => error.write(out),
            kind => Variant(kind).write(out),
        }
    }
}

/// Without what a panic says: that may be anything. [`crate::cli`] sees to it that the log has its place.
impl Safe for JoinError {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(if self.is_panic() { "it panicked" } else { "it was ended" })
    }
}

impl Safe for h2::Error {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        if let Some(error) = self.get_io() {
            return error.write(out);
        }
        match self.reason().filter(|_| self.is_go_away()) {
            // It may come with debug data (RFC 9113 section 6.8), which is the peer's.
            Some(reason) if self.is_remote() => write!(out, "connection error received: {reason}"),
            Some(reason) => write!(out, "connection error detected: {reason}"),
            None => write!(out, "{self}"),
        }
    }
}

impl Safe for quinn::ConnectionError {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            // All three come with a reason of the peer's, or of TLS.
            Self::TransportError(error) => write!(out, "{}", error.code),
            Self::ConnectionClosed(close) => write!(out, "aborted by peer: {}", close.error_code),
            Self::ApplicationClosed(close) => write!(out, "closed by peer: {}", close.error_code),
            Self::VersionMismatch | Self::Reset | Self::TimedOut | Self::LocallyClosed | Self::CidsExhausted => {
                write!(out, "{self}")
            }
        }
    }
}

impl Safe for StreamError {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            Self::StreamError { code, .. } => write!(out, "stream error: {code}"),
            Self::RemoteTerminate { code, .. } => write!(out, "reset by peer: {code}"),
            Self::ConnectionError(error) => error.write(out),
            other => Variant(other).write(out),
        }
    }
}

impl Safe for Http3Error {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            Self::Local { error: LocalError::Application { code, .. }, .. } => write!(out, "connection error: {code}"),
            Self::Remote(error) => {
                out.write_str("ended by peer: ")?;
                Variant(error).write(out)
            }
            other => Variant(other).write(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quinn::{ApplicationClose, VarInt};
    use rustls::{CertificateError, OtherError};

    use super::*;
    use crate::sanitize::{SafeText, safe};

    const SECRET: &str = "kari";

    fn shown(error: &dyn Safe) -> String {
        SafeText::of(&[error]).to_string()
    }

    #[test]
    fn nothing_that_was_put_into_an_error_comes_out() {
        let name = CertificateError::NotValidForNameContext {
            expected: rustls::pki_types::ServerName::try_from("a.test").unwrap(),
            presented: vec![SECRET.to_owned()],
        };
        let tls = rustls::Error::InvalidCertificate(name);
        let close = |reason: &'static str| {
            quinn::ConnectionError::ApplicationClosed(ApplicationClose {
                error_code: VarInt::from_u32(0x107),
                reason: Bytes::from_static(reason.as_bytes()),
            })
        };
        for (error, expected) in [
            (&io::Error::other(SECRET) as &dyn Safe, "other error"),
            (
                &io::Error::new(io::ErrorKind::InvalidData, tls.clone()),
                "invalid peer certificate: NotValidForNameContext",
            ),
            (&io::Error::from_raw_os_error(104), "Connection reset by peer (os error 104)"),
            (&tls, "invalid peer certificate: NotValidForNameContext"),
            (&rustls::Error::General(SECRET.to_owned()), "General"),
            (&rustls::Error::Other(OtherError(std::sync::Arc::new(io::Error::other(SECRET)))), "Other"),
            (
                &rustls::Error::AlertReceived(rustls::AlertDescription::BadCertificate),
                "received fatal alert: BadCertificate",
            ),
            (&close(SECRET), "closed by peer: 263"),
            (&quinn::ConnectionError::TimedOut, "timed out"),
            (&Variant(&Some(SECRET)), "Some"),
        ] {
            assert_eq!(shown(error), expected);
        }
    }

    #[tokio::test]
    async fn what_a_task_panics_with_is_not_told() {
        let name = SECRET.to_owned();
        let panicked = tokio::task::spawn_blocking(move || std::panic::panic_any(name)).await;
        assert_eq!(shown(&panicked.unwrap_err()), "it panicked");
    }

    #[test]
    fn of_an_error_of_http_2_the_reason_is_shown() {
        assert_eq!(
            shown(&h2::Error::from(h2::Reason::ENHANCE_YOUR_CALM)),
            "protocol error: detected excessive load generating behavior"
        );
        assert_eq!(
            safe!("ended: ", h2::Error::from(h2::Reason::NO_ERROR)).as_str(),
            "ended: protocol error: not a result of an error"
        );
    }
}
