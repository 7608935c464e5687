//! Why a request to the collector failed, and whether it is worth another try.
//!
//! No message repeats what the collector wrote: it may quote what it was sent, the secret in a header for one.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use http::StatusCode;
use tonic::Code;

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("its name has no address ({}); does it exist, and does the resolver answer?", resolver(.0))]
    Resolve(#[source] io::Error),
    #[error("no connection ({}); is the collector running, and is the port the right one?", shown(.0))]
    Tcp(#[source] io::Error),
    #[error("no TLS ({}); does the port speak TLS, and is the authority of its certificate trusted?", shown(.0))]
    Tls(#[source] io::Error),
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no connection. The text is made from a [`ConnectError`].
    Connect(String),
    /// The connection broke, or what came on it is not the protocol.
    Broken(String),
    /// There was no answer in time.
    Timeout(Duration),
    /// An answer over HTTP that is no success.
    Status { status: StatusCode, retry_after: Option<Duration> },
    /// An answer over gRPC that is no success.
    Grpc { code: Code, retry_after: Option<Duration> },
}

impl Failure {
    /// What an error of a client comes down to.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = error;
        loop {
            if let Some(connect) = cause.downcast_ref::<ConnectError>() {
                return Self::Connect(connect.to_string());
            }
            // An `io::Error` does not name what it wraps as its source.
            let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let inner = inner.map(|inner| inner as &(dyn Error + 'static));
            match inner.or_else(|| cause.source()) {
                Some(source) => cause = source,
                None => return Self::Broken(shown(cause)),
            }
        }
    }

    /// Whether the same request may be tried again (OTLP, "Retryable Response Codes" and "Failures").
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Broken(_) | Self::Timeout(_) => true,
            Self::Status { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            // Without a word on when, it is the request that is too much, not the moment.
            Self::Grpc { code: Code::ResourceExhausted, retry_after } => retry_after.is_some(),
            Self::Grpc { code, .. } => matches!(
                code,
                Code::Cancelled
                    | Code::DeadlineExceeded
                    | Code::Aborted
                    | Code::OutOfRange
                    | Code::Unavailable
                    | Code::DataLoss
            ),
        }
    }

    /// How long the collector asked to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } | Self::Grpc { retry_after, .. } => *retry_after,
            Self::Connect(_) | Self::Broken(_) | Self::Timeout(_) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(what) => formatter.write_str(what),
            Self::Broken(what) => {
                write!(formatter, "the connection broke ({what}); is this the protocol of that port?")
            }
            Self::Timeout(after) => write!(formatter, "no answer within {after:?}"),
            Self::Status { status, .. } => write!(formatter, "HTTP status {}{}", status.as_u16(), advice(*status)),
            Self::Grpc { code, .. } => write!(formatter, "gRPC status {code:?}{}", grpc_advice(*code)),
        }
    }
}

fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..400 => "; redirections are not followed: give the endpoint that it leads to",
        401 | 403 => "; do `headers` have the credentials that it wants?",
        404 | 405 => "; is the path of the endpoint right, and does the collector receive this kind of telemetry?",
        413 => "; let it take larger requests, or make batches smaller",
        415 => "; does it take this format, and this compression?",
        400 => "; its own log says what it did not like",
        _ => "",
    }
}

fn grpc_advice(code: Code) -> &'static str {
    match code {
        Code::Unauthenticated | Code::PermissionDenied => "; do `headers` have the credentials that it wants?",
        Code::Unimplemented => "; does the collector receive this kind of telemetry, by gRPC on this port?",
        Code::ResourceExhausted => "; let it take larger requests, or make batches smaller",
        Code::InvalidArgument | Code::Internal | Code::Unknown => "; its own log says what went wrong",
        _ => "",
    }
}

/// What a log says of an error: the system's words, and those of libraries as far as no peer has a part in them. A collector may
/// write what it was sent into its GOAWAY, and anybody anything into a certificate.
fn shown(error: &(dyn Error + 'static)) -> String {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return match (error.raw_os_error(), error.get_ref()) {
            (Some(code), _) => io::Error::from_raw_os_error(code).to_string(),
            (None, Some(inner)) if inner.is::<rustls::Error>() => shown(inner),
            (None, _) => error.kind().to_string(),
        };
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        let what = if error.is_go_away() { "ended" } else { "failed" };
        return error.reason().map_or_else(|| what.to_owned(), |reason| format!("{what}: {reason}"));
    }
    match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(why)) => format!("invalid peer certificate: {}", variant(why)),
        Some(rustls::Error::AlertReceived(alert)) => format!("received fatal alert: {alert:?}"),
        Some(error) => variant(error),
        // Without its source it is a sentence of hyper's own.
        None => error.downcast_ref::<hyper::Error>().map_or_else(|| variant(error), ToString::to_string),
    }
}

/// The name of an error's type or variant, which is what a derived `Debug` begins with.
fn variant(error: &(impl fmt::Debug + ?Sized)) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// The system's resolver has sentences of its own tables, and no number that tells of them.
fn resolver(error: &io::Error) -> String {
    error.to_string().escape_debug().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use http::StatusCode;
    use tonic::Code;

    use super::{ConnectError, Failure};

    #[test]
    fn http_is_tried_again_for_four_statuses() {
        let retryable: Vec<u16> = (100..600)
            .filter_map(|status| StatusCode::from_u16(status).ok())
            .filter(|status| Failure::Status { status: *status, retry_after: None }.is_retryable())
            .map(|status| status.as_u16())
            .collect();
        assert_eq!(retryable, [429, 502, 503, 504]);
    }

    #[test]
    fn grpc_is_tried_again_for_the_codes_of_the_specification() {
        let retryable = |retry_after| -> Vec<i32> {
            (0..17).filter(|code| Failure::Grpc { code: Code::from(*code), retry_after }.is_retryable()).collect()
        };
        // Cancelled, DeadlineExceeded, Aborted, OutOfRange, Unavailable, DataLoss; ResourceExhausted with a time only.
        assert_eq!(retryable(None), [1, 4, 10, 11, 14, 15]);
        assert_eq!(retryable(Some(Duration::ZERO)), [1, 4, 8, 10, 11, 14, 15]);
    }

    #[test]
    fn the_cause_is_found_below_what_wraps_it_and_nothing_of_a_peer_is_repeated() {
        let names = rustls::CertificateError::NotValidForNameContext {
            expected: rustls_pki_types::ServerName::try_from("a.example").expect("a name"),
            presented: vec!["kari".to_owned()],
        };
        let certificate = io::Error::other(rustls::Error::InvalidCertificate(names));
        let wrapped = io::Error::other(ConnectError::Tls(certificate));
        let Failure::Connect(text) = Failure::of(&wrapped) else { panic!("not a connect error") };
        assert!(text.starts_with("no TLS (invalid peer certificate: NotValidForNameContext); does"), "{text}");
        for (error, expected) in [
            (&io::Error::other("kari") as &(dyn std::error::Error + 'static), "other error"),
            (&io::Error::from_raw_os_error(104), "Connection reset by peer (os error 104)"),
            (&rustls::Error::General("kari".to_owned()), "General"),
            (&h2::Error::from(h2::Reason::ENHANCE_YOUR_CALM), "failed: detected excessive load generating behavior"),
        ] {
            assert_eq!(super::shown(error), expected);
        }
    }
}
