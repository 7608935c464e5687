//! Sends an exact number of requests, and says what came back.

use std::path::{Path, PathBuf};

use super::pinned;
use crate::Result;
use crate::process::{cargo, output, run, target_directory};

/// The only cipher suite that the load offers, so that all proxies do the same cryptography.
const CIPHER: &str = "TLS_AES_128_GCM_SHA256";

/// The HTTP/3 load generator: Debian's h2load has no QUIC.
#[derive(Clone)]
pub(crate) struct H3Load(PathBuf);

impl H3Load {
    /// Builds it.
    pub(crate) fn build() -> Result<Self> {
        run(cargo().args(["build", "--release", "--package", "h3load"]))?;
        Ok(Self(target_directory()?.join("release/h3load")))
    }
}

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    H1,
    /// HTTP/2; in cleartext with prior knowledge.
    H2,
    /// HTTP/3.
    H3,
}

/// Requests of one kind.
pub(crate) struct Load<'a> {
    /// What they are sent with.
    pub(crate) protocol: Protocol,
    /// Whether they come over TLS.
    pub(crate) tls: bool,
    /// Where to, on loopback.
    pub(crate) port: u16,
    /// What is asked for.
    pub(crate) path: &'a str,
    /// Connections, and the streams on each.
    pub(crate) clients: (u64, u64),
    /// A header field.
    pub(crate) field: Option<&'a str>,
    /// A file that is sent by POST.
    pub(crate) body: Option<&'a Path>,
    /// The core that the generator runs on.
    pub(crate) core: Option<&'a str>,
}

/// What came back.
pub(crate) struct Sent {
    requests: u64,
    succeeded: u64,
    with_2xx: u64,
    /// Body bytes in all.
    pub(crate) body_bytes: u64,
}

impl Sent {
    /// Every request was answered with a 2xx.
    pub(crate) fn expect_2xx(&self) -> Result {
        if (self.succeeded, self.with_2xx) != (self.requests, self.requests) {
            return Err(format!("{} sent, {} succeeded, {} with 2xx", self.requests, self.succeeded, self.with_2xx));
        }
        Ok(())
    }

    /// A sample counts only when every request got its whole response.
    pub(crate) fn expect_all(&self, body_bytes: u64) -> Result {
        self.expect_2xx()?;
        if self.body_bytes != self.requests * body_bytes {
            return Err(format!("{} body bytes instead of {}", self.body_bytes, self.requests * body_bytes));
        }
        Ok(())
    }
}

impl Load<'_> {
    /// Sends so many of them.
    pub(crate) fn send(&self, h3load: Option<&H3Load>, requests: u64) -> Result<Sent> {
        let scheme = if self.tls { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{}{}", self.port, self.path);
        let (connections, streams) = self.clients;
        let (total, connections, streams) =
            (requests.to_string(), connections.min(requests).to_string(), streams.to_string());
        let text = if self.protocol == Protocol::H3 {
            if self.field.is_some() || self.body.is_some() {
                return Err("h3load sends neither header fields nor bodies".to_owned());
            }
            let program = h3load.ok_or("h3load is not built")?;
            output(pinned(&program.0, self.core).args([&url, &total, &connections, &streams]))?
        } else {
            let mut command = pinned(Path::new("h2load"), self.core);
            command.args(["-t", "1", "-n", &total, "-c", &connections, "-m", &streams]);
            command.arg(format!("--tls13-ciphers={CIPHER}"));
            if self.protocol == Protocol::H1 {
                command.arg("--h1");
            }
            if let Some(field) = self.field {
                command.args(["-H", field]);
            }
            if let Some(body) = self.body {
                command.arg("-d").arg(body);
            }
            output(command.arg(&url))?
        };
        let spoken = match self.protocol {
            Protocol::H1 => "http/1.1",
            Protocol::H2 if self.tls => "h2",
            Protocol::H2 => "h2c",
            Protocol::H3 => "h3",
        };
        if !text.contains(&format!("Application protocol: {spoken}\n")) {
            return Err(format!("the load did not speak {spoken}"));
        }
        if self.tls && !(text.contains(CIPHER) && text.contains("TLSv1.3")) {
            return Err(format!("the load did not negotiate TLS 1.3 with {CIPHER}"));
        }
        Ok(Sent {
            requests,
            succeeded: before(&text, " succeeded")?,
            with_2xx: before(&text, " 2xx")?,
            body_bytes: before(&text, ") data")?,
        })
    }
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
