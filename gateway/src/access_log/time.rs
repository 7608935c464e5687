//! Times in logs, all in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// RFC 3339 with milliseconds.
pub(super) fn rfc_3339(out: &mut Vec<u8>, at: SystemTime) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = civil(since.as_secs() / 86_400);
    padded(out, year, 4);
    out.push(b'-');
    padded(out, month, 2);
    out.push(b'-');
    padded(out, day, 2);
    out.push(b'T');
    clock(out, since.as_secs());
    out.push(b'.');
    padded(out, since.subsec_millis().into(), 3);
    out.push(b'Z');
}

/// As in NCSA's logs: `30/Nov/2026:22:28:09 +0000`, with this before the zone.
pub(super) fn ncsa(out: &mut Vec<u8>, at: SystemTime, space: &[u8]) {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    padded(out, day, 2);
    out.push(b'/');
    out.extend_from_slice(MONTHS[(month as usize + 11) % 12]);
    out.push(b'/');
    padded(out, year, 4);
    out.push(b':');
    clock(out, seconds);
    out.extend_from_slice(space);
    out.extend_from_slice(b"+0000");
}

/// Seconds since 1970 with milliseconds.
pub(super) fn unix(out: &mut Vec<u8>, at: SystemTime) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    out.extend_from_slice(itoa::Buffer::new().format(since.as_secs()).as_bytes());
    out.push(b'.');
    padded(out, since.subsec_millis().into(), 3);
}

fn clock(out: &mut Vec<u8>, seconds: u64) {
    padded(out, seconds / 3600 % 24, 2);
    out.push(b':');
    padded(out, seconds / 60 % 60, 2);
    out.push(b':');
    padded(out, seconds % 60, 2);
}

/// The last digits of a number.
pub(super) fn padded(out: &mut Vec<u8>, value: u64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10_u64.pow(place) % 10) as u8);
    }
}

/// Days since 1970 to year, month and day, by Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day
/// is the last one.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_each_format_has_them() {
        for (millis, rfc, ncsa, unix) in [
            (0, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000", "0.000"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z", "29/Feb/2000:00:00:00 +0000", "951782400.001"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z", "31/Dec/2025:23:59:59 +0000", "1767225599.999"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z", "01/Mar/2100:00:00:00 +0000", "4107542400.000"),
        ] {
            let at = UNIX_EPOCH + Duration::from_millis(millis);
            let written = |write: &dyn Fn(&mut Vec<u8>)| {
                let mut out = Vec::new();
                write(&mut out);
                String::from_utf8(out).unwrap()
            };
            assert_eq!(written(&|out| rfc_3339(out, at)), rfc);
            assert_eq!(written(&|out| super::ncsa(out, at, b" ")), ncsa);
            assert_eq!(written(&|out| super::unix(out, at)), unix);
        }
    }
}
