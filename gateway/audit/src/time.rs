//! Instants as records have them: RFC 3339 in UTC with microseconds, which sorts as text. Nothing here looks at a clock.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01T00:00:00Z, up to the end of the year 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The last microsecond that four digits of a year can write.
const LAST: u64 = 253_402_300_799_999_999;
const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

/// What is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a time; write 2026-01-31, or 2026-01-31T12:00:00Z (RFC 3339)")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The end of all times that can be written.
    pub const MAX: Self = Self(LAST);

    /// So many microseconds after 1970.
    pub const fn from_micros(micros: u64) -> Self {
        Self(if micros > LAST { LAST } else { micros })
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The time so much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How much later this is than another time; zero where it is earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// As in records: always 27 bytes, `2026-01-31T12:00:00.000000Z`.
    pub(crate) fn push(self, into: &mut Vec<u8>) {
        let (year, month, day) = civil(self.0 / DAY);
        let second = self.0 % DAY / SECOND;
        let mut digits = |value: u64, count: u32, end: u8| {
            for place in (0..count).rev() {
                into.push(b'0' + u8::try_from(value / 10_u64.pow(place) % 10).unwrap_or(0));
            }
            into.push(end);
        };
        digits(year, 4, b'-');
        digits(month, 2, b'-');
        digits(day, 2, b'T');
        digits(second / 3600, 2, b':');
        digits(second / 60 % 60, 2, b':');
        digits(second % 60, 2, b'.');
        digits(self.0 % SECOND, 6, b'Z');
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self::default().after(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(27);
        self.push(&mut text);
        out.write_str(&String::from_utf8_lossy(&text))
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        parse(text.as_bytes()).ok_or(InvalidTimestamp)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        crate::text::parsed(from)
    }
}

/// Year, month and day of a day since 1970: Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>), for years from 1970.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

/// The day since 1970 of a date: `days_from_civil` of the same source.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A date, or an RFC 3339 time with any offset and up to nine digits of a fraction, of which six count.
fn parse(text: &[u8]) -> Option<Timestamp> {
    let (date, time) = text.split_at_checked(10)?;
    let [year, month, day] = [number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?];
    let length = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let valid = date[4] == b'-' && date[7] == b'-' && year >= 1970 && (1..=12).contains(&month);
    if !valid || !(1..=length).contains(&day) {
        return None;
    }
    let midnight = days(year, month, day) * DAY;
    if time.is_empty() {
        return Some(Timestamp(midnight));
    }
    let (clock, rest) = time.split_at_checked(9)?;
    let [hour, minute, second] = [number(&clock[1..3])?, number(&clock[4..6])?, number(&clock[7..])?];
    if clock[0] != b'T' || clock[3] != b':' || clock[6] != b':' || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let six: u64 = number(&rest[..count.min(6)])? * 10_u64.pow(6 - u32::try_from(count.min(6)).ok()?);
            ((1..=9).contains(&count).then_some(six)?, &rest[count..])
        }
        None => (0, rest),
    };
    let local = midnight + ((hour * 60 + minute) * 60 + second) * SECOND + fraction;
    let offset = |zone: &[u8]| {
        let valid = zone.len() == 5 && zone[2] == b':';
        let [hours, minutes] = [number(valid.then(|| &zone[..2])?)?, number(&zone[3..])?];
        (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60 * SECOND)
    };
    let utc = match zone {
        b"Z" => local,
        [b'+', zone @ ..] => local.checked_sub(offset(zone)?)?,
        [b'-', zone @ ..] => local + offset(zone)?,
        _ => return None,
    };
    (utc <= LAST).then_some(Timestamp(utc))
}

fn number(digits: &[u8]) -> Option<u64> {
    let value = |sum: u64, byte: &u8| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'));
    digits.iter().try_fold(0, value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_and_sorts(one in 0..=LAST, other in 0..=LAST) {
            let texts = [one, other].map(|micros| Timestamp(micros).to_string());
            prop_assert_eq!(texts[0].parse(), Ok(Timestamp(one)));
            prop_assert_eq!(texts[0].cmp(&texts[1]), one.cmp(&other));
            prop_assert_eq!(texts[0].len(), 27);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}", like in "[0-9T:.Z+-]{0,40}") {
            let _ = (text.parse::<Timestamp>(), like.parse::<Timestamp>());
        }
    }

    #[test]
    fn known_times_are_read() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2026-11-30T22:21:17.5Z", 1_796_077_277),
            ("2026-11-30T23:21:17+01:00", 1_796_077_277),
            ("2026-11-30T19:51:17-02:30", 1_796_077_277),
        ] {
            assert_eq!(text.parse::<Timestamp>().map(|time| time.0 / SECOND), Ok(seconds), "{text}");
        }
        for text in
            ["", "2026", "2026-02-29", "2026-13-01", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "1969-12-31"]
        {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp), "{text}");
        }
    }
}
