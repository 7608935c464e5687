//! Clients that aren't ours: curl for HTTP/1.1 and HTTP/2, aioquic for HTTP/3.

use std::path::PathBuf;
use std::process::Command;

use crate::Result;

/// A protocol, with the client that speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    Http3,
}

impl Protocol {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Http3];

    /// For people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1 by curl",
            Self::Http2 => "HTTP/2 by curl",
            Self::Http3 => "HTTP/3 by aioquic",
        }
    }

    /// As it stands in a status line.
    pub(super) const fn version(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Http3 => "HTTP/3",
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) headers: Vec<String>,
    /// Sent by POST.
    pub(super) body: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) version: String,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Response {
    /// The value of a header field.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Reads what `curl -i` prints.
    fn parse(text: &str) -> Option<Self> {
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n")?;
        let mut lines = head.lines();
        let mut status = lines.next()?.split(' ');
        let (version, code) = (status.next()?.to_owned(), status.next()?.parse().ok()?);
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Some(Self { version, status: code, headers, body: body.to_owned() })
    }
}

/// The clients.
#[derive(Clone)]
pub(super) struct Clients {
    python: PathBuf,
    h3get: PathBuf,
}

impl Clients {
    pub(super) fn new(python: PathBuf, h3get: PathBuf) -> Self {
        Self { python, h3get }
    }

    /// Sends a request.
    pub(super) fn send(&self, protocol: Protocol, request: &Request) -> Result<Response> {
        let mut command = match protocol {
            Protocol::Http1 => curl("--http1.1"),
            Protocol::Http2 => curl("--http2"),
            Protocol::Http3 => {
                let mut command = Command::new(&self.python);
                command.arg(&self.h3get);
                if request.body.is_some() {
                    command.args(["-X", "POST"]);
                }
                command
            }
        };
        for header in &request.headers {
            command.args(["-H", header]);
        }
        if let Some(body) = &request.body {
            command.args(["-d", body]);
        }
        read(command.arg(&request.url))
    }

    /// Asks a service or the admin listener itself.
    pub(super) fn plain(&self, url: &str) -> Result<Response> {
        read(curl("--http1.1").arg(url))
    }

    /// The same by POST.
    pub(super) fn post(&self, url: &str) -> Result<Response> {
        read(curl("--http1.1").args(["-X", "POST", url]))
    }
}

/// The development certificate is new at every start, so it isn't verified.
fn curl(version: &str) -> Command {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--include",
        "--insecure",
        "--ipv4",
        "--noproxy",
        "*",
        "--max-time",
        "20",
    ]);
    command.arg(version);
    command
}

fn read(command: &mut Command) -> Result<Response> {
    let text = crate::process::output(command)?;
    Response::parse(&text).ok_or_else(|| format!("no HTTP response in what the client printed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_curl_prints() {
        let response = Response::parse("HTTP/2 200 \r\nAge: 3\r\nx: a: b\r\n\r\nbody\n\nmore").unwrap();
        assert_eq!((response.version.as_str(), response.status), ("HTTP/2", 200));
        assert_eq!((response.header("age"), response.header("X")), (Some("3"), Some("a: b")));
        assert_eq!(response.body, "body\n\nmore");
        assert!(Response::parse("curl: (7)").is_none());
    }
}
