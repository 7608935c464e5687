//! Durations in a plugin's config, written as in the gateway's own: `500ms`, `2s`, `10m`, `1h`, `7d`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// Units, with their milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A duration of a config: a whole number and its unit.
///
/// ```
/// use plugin_sdk::ConfigDuration;
/// let timeout: ConfigDuration = serde_json::from_str("\"2s\"").unwrap();
/// assert_eq!(timeout.0.as_millis(), 2000);
/// assert_eq!(timeout.to_string(), "2s");
/// assert!(serde_json::from_str::<ConfigDuration>("\"2\"").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigDuration(pub Duration);

impl ConfigDuration {
    /// This many seconds, for defaults.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
        number.checked_mul(*millis).map(Duration::from_millis).map(Self)
    }
}

impl fmt::Display for ConfigDuration {
    /// As a config has it: `90s`, in the largest unit that leaves no rest. Less than a millisecond is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let unit = UNITS.iter().rev().find(|(_, length)| millis > 0 && millis.is_multiple_of(u128::from(*length)));
        match unit {
            Some((unit, length)) => write!(f, "{}{unit}", millis / u128::from(*length)),
            None => f.write_str("0s"),
        }
    }
}

impl From<ConfigDuration> for Duration {
    fn from(of: ConfigDuration) -> Self {
        of.0
    }
}

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = ConfigDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 2s")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfigDuration, E> {
        ConfigDuration::parse(text).ok_or_else(|| {
            E::custom(format_args!("\"{text}\" is not a duration; write a whole number and ms, s, m, h or d, as in 2s"))
        })
    }
}
