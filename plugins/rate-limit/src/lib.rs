//! Rate limiting: several limits at once by client, header, claim or route, exact over all workers.
//!
//! The buckets are the host's (GCRA, all or nothing over the limits of one entry); here are the keys, the RateLimit
//! fields and the refusal.

pub mod config;
pub mod fields;
pub mod key;

use std::net::IpAddr;

use plugin_sdk::counters::{self, Claim};
use plugin_sdk::crypto::{self, Digest};
use plugin_sdk::encoding::hex;
use plugin_sdk::metrics;
use plugin_sdk::prelude::*;

use config::{Config, Limit, Settings};

/// The plugin.
#[derive(Debug)]
pub struct RateLimit {
    settings: Settings,
    policy: String,
}

/// What the response phase needs: the fields as they go out.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Where not all limits hold for the request.
    policy: Option<String>,
    state: String,
}

struct Request<'a>(&'a Exchange<'a>);

impl key::Source for Request<'_> {
    fn client(&self) -> Option<IpAddr> {
        self.0.client_address()
    }

    fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.request().header_all(name)
    }

    fn attribute(&self, name: &str) -> Option<String> {
        self.0.attribute(name)
    }

    fn route(&self) -> Option<String> {
        self.0.route()
    }

    fn digest(&self, value: &[u8]) -> String {
        // 128 bits: collisions can't be made on purpose, and keys stay short.
        hex(&crypto::digest(Digest::Sha256, value)[..16])
    }
}

#[plugin]
impl Plugin for RateLimit {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigErrors> {
        let settings = config.check()?;
        let policy = fields::policy(settings.limits.iter());
        Ok(Self { settings, policy })
    }

    fn on_request_headers(&self, exchange: &Exchange, _end: bool) -> RequestAction {
        let request = Request(exchange);
        let (limits, claims): (Vec<&Limit>, Vec<Claim>) = self
            .settings
            .limits
            .iter()
            .filter_map(|limit| {
                Some((limit, Claim::new(key::bucket(limit, &request)?, limit.cost, fields::rate(limit))))
            })
            .unzip();
        if claims.is_empty() {
            return RequestAction::next();
        }
        // There are never too many: see `config`.
        let Ok(decisions) = counters::take(&claims) else {
            return RequestAction::problem(503, "Service Unavailable", "The limits of this request can't be counted.");
        };
        let decided = || limits.iter().copied().zip(&decisions);
        let refused: Vec<_> = decided().filter(|(_, decision)| !decision.allowed).collect();
        let mode = if self.settings.shadow { "shadow" } else { "enforced" };
        if !refused.is_empty() {
            let route = exchange.route().unwrap_or_default();
            for (limit, _) in &refused {
                let labels = [("route", route.as_str()), ("limit", &limit.name), ("mode", mode)];
                metrics::count("rate_limit_refused_total", &labels, 1);
            }
        }
        let names: Vec<&str> = refused.iter().map(|(limit, _)| limit.name.as_str()).collect();
        if !names.is_empty() {
            exchange.set_log_field("rate_limit", Some(&format!("{mode}: {}", names.join(", "))));
            // That a request passes is what a trace shows anyway.
            exchange
                .set_trace_attribute("decision", if self.settings.shadow { "would_refuse" } else { "refused" })
                .ok();
            if exchange.is_recorded() {
                exchange.set_trace_attribute("limits", names.join(",")).ok();
            }
        }
        // A limit on trial must not change what clients do.
        if self.settings.shadow {
            return RequestAction::next();
        }
        let some = limits.len() < self.settings.limits.len();
        let policy = some.then(|| fields::policy(limits.iter().copied()));
        let state = fields::state(decided());
        if names.is_empty() {
            if self.settings.headers && exchange.set_state(&Kept { policy, state }).is_err() {
                log::warn!("the state of an exchange could not be kept: its response has no RateLimit fields");
            }
            return RequestAction::next();
        }
        let mut response = fields::too_many(&names, fields::retry_after(refused.iter().map(|(_, decision)| *decision)));
        if self.settings.headers {
            let policy = policy.as_deref().unwrap_or(&self.policy);
            response = response.header("ratelimit-policy", policy).header("ratelimit", state);
        }
        response.into()
    }

    fn on_response_headers(&self, exchange: &Exchange, _end: bool) -> ResponseAction {
        if let Some(kept) = exchange.state::<Kept>() {
            let response = exchange.response();
            // Appended: both fields are lists, and the upstream may have limits of its own.
            let policy = kept.policy.as_deref().unwrap_or(&self.policy);
            for (name, value) in [("ratelimit-policy", policy), ("ratelimit", &kept.state)] {
                if let Err(error) = response.append_header(name, value) {
                    log::debug!("{name} could not be added: {error:?}");
                }
            }
        }
        ResponseAction::next()
    }
}

plugin_sdk::export!(RateLimit);
