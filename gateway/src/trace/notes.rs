//! What plugins have added to the trace of an exchange. Which of it there may be, and how much, is the contract's
//! (`plugin_rules::trace`); here is how it is told.

use std::time::Instant;

pub use plugin_rules::trace::{Attribute, Span as PluginSpan, Value};

use super::SpanId;

/// The attributes and spans that plugins have added, by the places of plugins in their chain.
pub type Notes = plugin_rules::trace::Notes<SpanId, Instant>;

/// The name under which an attribute of a plugin is told, on whatever span: `plugin.rate_limit.decision`. Nothing that the gateway
/// says itself begins like that, so no plugin can write over it.
pub fn told_name(plugin: &str, name: &str) -> String {
    const PREFIX: &str = "plugin.";
    let mut told = String::with_capacity(PREFIX.len() + plugin.len() + 1 + name.len());
    told.push_str(PREFIX);
    // Names of attributes have no hyphens (OpenTelemetry semantic conventions, "Naming").
    told.extend(plugin.chars().map(|letter| if letter == '-' { '_' } else { letter }));
    told.push('.');
    told.push_str(name);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_of_a_plugin_bears_its_name() {
        assert_eq!(told_name("rate-limit", "decision"), "plugin.rate_limit.decision");
        assert_eq!(told_name("auth", "http.route"), "plugin.auth.http.route");
    }
}
