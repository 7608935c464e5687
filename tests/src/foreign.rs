//! Clients that are not ours: curl for HTTP/1.1 and HTTP/2, aioquic for HTTP/3.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};

/// What is asked, over whichever protocol.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The method.
    pub method: &'a str,
    /// The URL.
    pub url: &'a str,
    /// Header fields, `name: value`.
    pub headers: &'a [&'a str],
    /// The body.
    pub body: Option<&'a str>,
}

/// What the client printed of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// As it stands in the status line: `HTTP/1.1`, `HTTP/2`, `HTTP/3`.
    pub version: String,
    /// The status.
    pub status: u16,
    /// The header fields, names in lower case, sorted.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header field; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// Reads what `curl --include` prints.
    fn read(printed: &[u8]) -> Option<Self> {
        let ends = |mark: &'static [u8]| printed.windows(mark.len()).position(|window| window == mark);
        let (head, body) = match (ends(b"\r\n\r\n"), ends(b"\n\n")) {
            (Some(end), other) if other.is_none_or(|other| end < other) => (end, end + 4),
            (_, Some(end)) => (end, end + 2),
            (_, None) => return None,
        };
        let (head, body) = (String::from_utf8_lossy(&printed[..head]), printed[body..].to_vec());
        let mut lines = head.lines();
        let mut status = lines.next()?.split(' ');
        let (version, status) = (status.next()?.to_owned(), status.next()?.parse().ok()?);
        let mut headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        headers.sort();
        Some(Self { version, status, headers, body })
    }
}

/// Asks over a protocol: `http1`, `http2` or `http3`; `http://` means prior knowledge for HTTP/2.
pub fn ask(protocol: &str, question: Question<'_>) -> Answer {
    let clear = question.url.starts_with("http://");
    let mut command = match protocol {
        "http1" => curl("--http1.1"),
        "http2" if clear => curl("--http2-prior-knowledge"),
        "http2" => curl("--http2"),
        "http3" => aioquic(),
        other => panic!("no client for {other}"),
    };
    match question.method {
        // curl would wait for a body.
        "HEAD" if protocol != "http3" => command.arg("--head"),
        method => command.args(["-X", method]),
    };
    for field in question.headers {
        command.args(["-H", field]);
    }
    if let Some(body) = question.body {
        command.args(["-d", body]);
    }
    let printed = printed(command.arg(question.url)).unwrap_or_else(|error| panic!("{protocol} {question:?}: {error}"));
    Answer::read(&printed).unwrap_or_else(|| panic!("no response in {:?}", String::from_utf8_lossy(&printed)))
}

/// Any certificate will do: tests make their own.
fn curl(version: &str) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--insecure", "--ipv4", "--noproxy", "*"]);
    command.args(["--max-time", &crate::PATIENCE.as_secs().to_string(), version]);
    command
}

/// The example's client for HTTP/3.
fn aioquic() -> Command {
    let mut command = Command::new(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/microservices/h3get.py"));
    command
}

/// The Python that has what tests need.
pub fn python() -> OsString {
    std::env::var_os("GATEWAY_PYTHON")
        .expect("GATEWAY_PYTHON names a Python with what `cargo xtask setup` installs; `cargo xtask test` brings it")
}

fn printed(command: &mut Command) -> Result<Vec<u8>, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } =
        command.output().map_err(|error| format!("{name} does not start: {error}; `cargo xtask setup` brings it"))?;
    if status.success() {
        Ok(stdout)
    } else {
        Err(format!("{name} ended with {status}: {}", String::from_utf8_lossy(&stderr).trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_clients_print_is_read_alike() {
        let curl = Answer::read(b"HTTP/2 200 \r\nX: a: b\r\nAge: 3\r\n\r\nbody\n\nmore").expect("a response");
        let aioquic = Answer::read(b"HTTP/2 200\nage: 3\nx: a: b\n\nbody\n\nmore").expect("a response");
        assert_eq!(curl, aioquic);
        assert_eq!((curl.status, curl.header("x"), curl.text().as_str()), (200, "a: b", "body\n\nmore"));
        assert_eq!(Answer::read(b"HTTP/1.1 204 No Content\r\n\r\n").map(|answer| answer.body), Some(Vec::new()));
        assert_eq!(Answer::read(b"curl: (7)"), None);
    }
}
