//! Puts what was asked for into the access log, as a team would that wants to know who looks up whom. Such a field is
//! full of personal data; with `pii-redact` before this plugin, the log keeps pseudonyms instead.

use plugin_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupLog {}

#[plugin]
impl Plugin for LookupLog {
    type Config = Self;

    fn configure(config: Self) -> Result<Self, ConfigErrors> {
        Ok(config)
    }

    fn on_request_headers(&self, exchange: &Exchange<'_>, _end: bool) -> RequestAction {
        exchange.set_log_field("lookup", Some(&exchange.request().target()));
        RequestAction::next()
    }
}

plugin_sdk::export!(LookupLog);

#[cfg(test)]
mod tests {
    use plugin_sdk::testing::*;

    use super::*;

    #[test]
    fn the_log_has_the_whole_target() {
        let host = TestHost::new();
        let plugin: LookupLog = host.configure(json!({})).unwrap();
        let run = host.run(&plugin, TestRequest::get("/customers/1?fnr=2"));
        assert_eq!(run.log_field("lookup").as_deref(), Some("/customers/1?fnr=2"));
    }
}
