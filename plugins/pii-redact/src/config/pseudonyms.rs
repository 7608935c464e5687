//! The part of the config about placeholders that return.

use std::time::Duration;

use plugin_sdk::ConfigDuration;
use serde::Deserialize;

use super::Mistake;
use super::compile::mistake;

/// Seconds for which a principal's values are kept unless the config says otherwise.
const DAY: u64 = 86_400;

/// How far the placeholders of `pseudonymise` reach.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PseudonymConfig {
    /// Where a placeholder is the same, and returns.
    pub scope: Scope,
    /// For how long a principal's values are kept, a day where it is missing.
    pub keep: Option<ConfigDuration>,
    /// Whether values return in links too.
    pub restore_in_urls: bool,
}

/// Where a placeholder is the same, and returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// In its exchange.
    #[default]
    Exchange,
    /// In all exchanges of the same principal.
    Principal,
}

/// How far placeholders reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// For how long a principal's are the same, and return; none: within one exchange.
    pub principal: Option<Duration>,
    /// They return in links too.
    pub in_links: bool,
}

impl PseudonymConfig {
    pub(super) fn compile(&self, mistakes: &mut Vec<Mistake>) -> Reach {
        let keep = self.keep.map_or(Duration::from_secs(DAY), |keep| keep.0);
        if self.keep.is_some() && self.scope == Scope::Exchange {
            mistakes.push(mistake(
                "/pseudonyms/keep",
                "only with `scope: principal` are values kept: an exchange has an end",
            ));
        }
        if keep.is_zero() {
            mistakes.push(mistake("/pseudonyms/keep", "values have to be kept for some time"));
        }
        Reach { principal: (self.scope == Scope::Principal).then_some(keep), in_links: self.restore_in_urls }
    }
}
