//! The `forwarding` section.

use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;

/// What is believed of, and told to, other proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// Networks whose `X-Forwarded-For`, `Forwarded` and `X-Request-Id` are believed.
    pub trusted: Vec<IpNet>,
    /// Send `Forwarded` (RFC 7239) beside the `X-Forwarded-*` fields.
    pub forwarded: bool,
    /// The name in `Via`, `CDN-Loop` and `Proxy-Status`. Default `gateway`.
    pub via: String,
    /// Fields that are passed on as any peer sends them, though they say what only a proxy can know.
    pub keep: Vec<HeaderName>,
    /// Whether names pass that some servers read as those of framing or forwarding fields (`X_Forwarded_For`).
    pub keep_lookalikes: bool,
    /// How often a request may have passed gateways of this name before it is refused. Default 5.
    pub max_hops: usize,
}

impl Default for Forwarding {
    fn default() -> Self {
        let via = "gateway".to_owned();
        Self { trusted: Vec::new(), forwarded: false, via, keep: Vec::new(), keep_lookalikes: false, max_hops: 5 }
    }
}

impl Forwarding {
    /// Whether what this peer says of other addresses is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&peer))
    }
}
