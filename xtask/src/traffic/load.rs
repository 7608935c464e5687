//! Sends an exact number of requests, and says what came back.

use std::path::PathBuf;
use std::process::Command;

use super::scenario::{Load, Scenario};
use super::server::Proxy;
use crate::Result;
use crate::process::output;

/// The only cipher suite that the load offers, so that all proxies do the same cryptography.
const CIPHER: &str = "TLS_AES_128_GCM_SHA256";

/// The HTTP/3 load generator: Debian's h2load has no QUIC.
pub(crate) struct H3Load(pub(crate) PathBuf);

/// What came back.
pub(crate) struct Sent {
    requests: u64,
    succeeded: u64,
    with_2xx: u64,
    /// Body bytes in all.
    pub(crate) body_bytes: u64,
}

impl Sent {
    /// A sample counts only when every request got its whole response.
    pub(crate) fn expect_all(&self, body_bytes: u64) -> Result {
        if (self.succeeded, self.with_2xx) != (self.requests, self.requests) {
            return Err(format!("{} sent, {} succeeded, {} with 2xx", self.requests, self.succeeded, self.with_2xx));
        }
        if self.body_bytes != self.requests * body_bytes {
            return Err(format!("{} body bytes instead of {}", self.body_bytes, self.requests * body_bytes));
        }
        Ok(())
    }
}

/// Runs the load generator on the core that the proxy does not use.
pub(crate) fn send(h3load: Option<&H3Load>, scenario: &Scenario, proxy: &Proxy, requests: u64) -> Result<Sent> {
    let (scheme, port) = if scenario.tls { ("https", proxy.tls_port) } else { ("http", proxy.port) };
    let url = format!("{scheme}://127.0.0.1:{port}{}", scenario.path);
    let (connections, streams) = scenario.clients;
    let connections = connections.min(requests).to_string();
    let (requests_text, streams) = (requests.to_string(), streams.to_string());
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]);
    match (scenario.load, h3load) {
        (Load::H3, Some(_)) if scenario.field().is_some() => return Err("h3load sends no header fields".to_owned()),
        (Load::H3, Some(program)) => {
            command.arg(&program.0).args([&url, &requests_text, &connections, &streams]);
        }
        (Load::H3, None) => return Err("h3load is not built".to_owned()),
        (Load::H1 | Load::H2, _) => {
            command.args(["h2load", "-t", "1", "-n", &requests_text, "-c", &connections, "-m", &streams]);
            command.arg(format!("--tls13-ciphers={CIPHER}"));
            if scenario.load == Load::H1 {
                command.arg("--h1");
            }
            if let Some(field) = scenario.field() {
                command.args(["-H", &field]);
            }
            command.arg(&url);
        }
    }
    let text = output(&mut command)?;
    let spoken = match scenario.load {
        Load::H1 => "http/1.1",
        Load::H2 => "h2",
        Load::H3 => "h3",
    };
    if !text.contains(&format!("Application protocol: {spoken}")) {
        return Err(format!("the load did not speak {spoken}"));
    }
    if scenario.tls && !(text.contains(CIPHER) && text.contains("TLSv1.3")) {
        return Err(format!("the load did not negotiate TLS 1.3 with {CIPHER}"));
    }
    Ok(Sent {
        requests,
        succeeded: before(&text, " succeeded")?,
        with_2xx: before(&text, " 2xx")?,
        body_bytes: before(&text, ") data")?,
    })
}

/// The number that stands before `unit`.
fn before(text: &str, unit: &str) -> Result<u64> {
    let end = text.find(unit).ok_or_else(|| format!("the load generator did not print `{unit}`:\n{text}"))?;
    let digits = text[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |place| place + 1);
    text[digits..end].parse().map_err(|_| format!("no number before `{unit}`:\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_h2load_is_read() {
        let text = "requests: 10 total, 10 started, 10 done, 9 succeeded, 1 failed\nstatus codes: 8 2xx, 1 3xx\n\
                    traffic: 12.06KB (12345) total, 1.56KB (1600) headers (space savings 0.00%), 10.00KB (10240) data\n";
        assert_eq!(before(text, " succeeded"), Ok(9));
        assert_eq!(before(text, " 2xx"), Ok(8));
        assert_eq!(before(text, ") data"), Ok(10240));
        assert!(before(text, " 9xx").is_err());
        let sent = |succeeded, body_bytes| Sent { requests: 2, succeeded, with_2xx: succeeded, body_bytes };
        assert!(sent(2, 20).expect_all(10).is_ok());
        assert!(sent(1, 20).expect_all(10).is_err());
        assert!(sent(2, 19).expect_all(10).is_err());
    }
}
