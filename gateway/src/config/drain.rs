//! How the gateway stops: the `drain` section, and `drain_timeout`, its short form.

use std::time::Duration;

use super::fields::{Fields, Object};
use super::types::Time;
use crate::model::Drain;

/// No balancer takes an hour to see that an instance is not ready.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);
const TIMEOUT: &str = "30s";

/// Both keys of the top level; one of them at most may be there.
pub(super) fn section(fields: &mut Fields<'_, '_>) -> Option<Drain> {
    let drain = fields.default("drain", "How the gateway stops after SIGTERM or SIGINT.", Object(drain), "{}");
    let timeout = fields.optional("drain_timeout", "The short form of drain: {timeout: ...}.", time());
    fields.at_most_one(&["drain", "drain_timeout"]);
    match (fields.has("drain_timeout"), timeout) {
        (false, _) => drain,
        (true, timeout) => Some(Drain { delay: Duration::ZERO, timeout: timeout? }),
    }
}

fn drain(fields: &mut Fields<'_, '_>) -> Option<Drain> {
    let delay = fields.default(
        "delay",
        "After SIGTERM readiness fails at once, and for this long new connections are still accepted, so that balancers \
         notice before they are refused. SIGINT does not wait; a second signal ends the waiting and what is left.",
        Time(Duration::ZERO..=LONGEST_DELAY),
        "0s",
    );
    let timeout = fields.default(
        "timeout",
        "How long requests in flight may take to finish then. A second signal cuts what is left at once.",
        time(),
        TIMEOUT,
    );
    Some(Drain { delay: delay?, timeout: timeout? })
}

fn time() -> Time {
    Time(Duration::ZERO..=Duration::MAX)
}
