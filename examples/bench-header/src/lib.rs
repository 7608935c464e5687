//! Reads one request header and sets another: what `cargo xtask bench` measures the price of a plugin with.

use plugin_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The header that is read.
    read: String,
    /// The header that is set to what was read.
    set: String,
}

struct BenchHeader(Config);

#[plugin]
impl Plugin for BenchHeader {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigErrors> {
        Ok(Self(config))
    }

    fn on_request_headers(&self, exchange: &Exchange, _end: bool) -> RequestAction {
        let value = exchange.request().header_bytes(&self.0.read).unwrap_or_default();
        exchange.request().set_header(&self.0.set, value).ok();
        RequestAction::next()
    }
}

plugin_sdk::export!(BenchHeader);
