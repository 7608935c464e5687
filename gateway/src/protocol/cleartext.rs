//! HTTP in clear text on a port that speaks TLS: mostly a URL with the wrong scheme. Whoever sent it is told so, in clear
//! text, as NGINX does (its status 497, which goes out as 400). TLS would answer with an alert that no such client reads.

use std::time::SystemTime;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The type of a TLS record that begins a handshake, RFC 8446 section 5.1.
const HANDSHAKE: u8 = 22;
/// How much of a request line is looked at; what is longer is as good as whole.
const LINE: usize = 2048;

/// What a client begins a connection with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// TLS, or nothing at all: TLS has the say.
    Tls,
    /// A request of HTTP, and whether it is for a head only.
    Http {
        /// Whether its method is HEAD.
        head: bool,
    },
    /// Something else.
    Unknown,
}

/// Looks at the first byte, which stays in the socket. What does not begin TLS is read on.
pub(super) async fn opening(stream: &mut TcpStream) -> Opening {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1..) if first != [HANDSHAKE] => {}
        // Nearly always. An end or an error is TLS's to tell of as well.
        _ => return Opening::Tls,
    }
    let mut line = vec![0; LINE];
    let mut known = 0;
    loop {
        match stream.read(&mut line[known..]).await {
            Ok(0) | Err(_) => return Opening::Unknown,
            Ok(count) => known += count,
        }
        if let Some(opening) = judge(&line[..known]) {
            return opening;
        }
    }
}

/// What begins like this; `None` where more of it has to come.
fn judge(bytes: &[u8]) -> Option<Opening> {
    let end = bytes.iter().position(|&byte| byte == b'\n');
    let line = bytes[..end.unwrap_or(bytes.len())].trim_ascii_end();
    let mut words = line.split(|&byte| byte == b' ');
    let method = words.next().unwrap_or_default();
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if method.is_empty() || method.len() > 32 || !method.iter().all(token) {
        return Some(Opening::Unknown);
    }
    let http = Opening::Http { head: method == b"HEAD" };
    match (end, words.next(), words.next(), words.next()) {
        (Some(_), Some(_), Some(version), None) if version.starts_with(b"HTTP/") => Some(http),
        (Some(_), ..) => Some(Opening::Unknown),
        (None, Some(_), ..) if bytes.len() >= LINE => Some(http),
        (None, ..) if bytes.len() >= LINE => Some(Opening::Unknown),
        (None, ..) => None,
    }
}

/// Answers a request that came in clear text. What the client still sends is the caller's to take in.
pub(super) async fn refuse(stream: &mut TcpStream, head: bool) {
    const TEXT: &str = "This port speaks HTTPS, and the request came as plain HTTP. Use https:// in the URL.\n";
    let date = httpdate::fmt_http_date(SystemTime::now());
    let content = if head { "" } else { TEXT };
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nDate: {date}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{content}",
        TEXT.len()
    );
    // A client that is gone hears nothing.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_garbage() {
        let http = Some(Opening::Http { head: false });
        let long = [b"GET /", &[b'a'; LINE][..]].concat();
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], http),
            (b"HEAD / HTTP/1.0\n", Some(Opening::Http { head: true })),
            (b"PROPFIND /a?b=c HTTP/1.1\r\n", http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", http),
            (&long, http),
            (b"GET /", None),
            (b"G", None),
            (b"GET / HTTP/1.1", None),
            (b"GET /\r\n", Some(Opening::Unknown)),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", Some(Opening::Unknown)),
            (b"EHLO mail.example.no\r\n", Some(Opening::Unknown)),
            (b"\x80\x2e\x01", Some(Opening::Unknown)),
            (b"\r\n", Some(Opening::Unknown)),
            (&[b'A'; LINE], Some(Opening::Unknown)),
        ] {
            assert_eq!(judge(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
