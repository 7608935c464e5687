//! Writes an exchange as one line of JSON, and decides what of it may be seen.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plugin_rules::notes::MAX_RECORDED;

use crate::exchange::{Exchange, ResponseSource};
use crate::model::AccessLog as Config;
use crate::sanitize::Sanitizer;

/// Encodes by one configuration.
#[derive(Debug)]
pub(super) struct Encoder {
    sanitizer: Sanitizer,
}

impl Encoder {
    pub(super) fn new(config: &Config) -> Self {
        Self { sanitizer: Sanitizer::new(&config.include) }
    }

    /// Appends the line of an exchange that began at `started`. Writing to a `Vec` does not fail, so results of `write!` are not looked at.
    pub(super) fn encode(&self, exchange: &Exchange, started: SystemTime, out: &mut Vec<u8>) {
        let request = &exchange.request;
        out.extend_from_slice(b"{\"time\":\"");
        time(out, started);
        out.push(b'"');
        text(out, "request_id", Some(&exchange.id));
        let _ = write!(out, ",\"client\":\"{}\"", self.sanitizer.address(&exchange.client));
        text(out, "listener", Some(&exchange.connection.listener));
        text(out, "protocol", Some(exchange.connection.protocol.name()));
        text(out, "method", Some(self.sanitizer.method(&request.method)));
        text(out, "path", Some(&self.sanitizer.path(request.path())));
        if self.sanitizer.shows_query() {
            text(out, "query", self.sanitizer.query(request.query()));
        }
        text(out, "route", exchange.route.as_deref());
        text(out, "upstream", exchange.upstream.as_deref());
        key(out, "endpoint");
        let _ = match exchange.endpoint {
            Some(endpoint) => write!(out, "\"{endpoint}\""),
            None => out.write_all(b"null"),
        };
        key(out, "status");
        match &exchange.response {
            Some(response) => number(out, response.status.as_u16().into()),
            None => out.extend_from_slice(b"null"),
        }
        text(out, "source", Some(source(exchange.source)));
        text(out, "failure", exchange.failure.map(|failure| failure.name()));
        text(out, "error", exchange.error.as_ref().map(|error| error.kind().name()));
        text(out, "detail", exchange.error.as_ref().map(|error| error.detail()).filter(|detail| !detail.is_empty()));
        let measures = &exchange.measures;
        key(out, "bytes_in");
        number(out, measures.bytes_in);
        key(out, "bytes_out");
        number(out, measures.bytes_out);
        key(out, "attempts");
        number(out, measures.attempts.into());
        milliseconds(out, "duration_ms", measures.total);
        milliseconds(out, "upstream_ms", measures.upstream);
        milliseconds(out, "plugins_ms", measures.plugins);
        self.headers(exchange, out);
        fields(exchange, out);
        out.extend_from_slice(b"}\n");
    }

    /// The request's header fields that the configuration names.
    fn headers(&self, exchange: &Exchange, out: &mut Vec<u8>) {
        if self.sanitizer.request_headers().is_empty() {
            return;
        }
        key(out, "headers");
        out.push(b'{');
        let mut first = true;
        for name in self.sanitizer.request_headers() {
            let mut values = exchange.request.headers.get_all(name).peekable();
            if values.peek().is_none() {
                continue;
            }
            member(out, &mut first, name.as_str());
            out.push(b'"');
            while let Some(value) = values.next() {
                escape(out, &String::from_utf8_lossy(value.expose()));
                if values.peek().is_some() {
                    out.extend_from_slice(b", ");
                }
            }
            out.push(b'"');
        }
        out.push(b'}');
    }
}

/// What plugins added: the last word on a name counts, and `None` takes it back.
fn fields(exchange: &Exchange, out: &mut Vec<u8>) {
    if exchange.log_fields.is_empty() {
        return;
    }
    key(out, "fields");
    out.push(b'{');
    let mut first = true;
    for (index, (name, value)) in exchange.log_fields.iter().enumerate() {
        let overridden = exchange.log_fields[index + 1..].iter().any(|(later, _)| later == name);
        let (Some(value), false) = (value, overridden) else { continue };
        member(out, &mut first, name.expose());
        out.push(b'"');
        let value = value.expose();
        escape(out, &value[..value.floor_char_boundary(MAX_RECORDED)]);
        out.push(b'"');
    }
    out.push(b'}');
}

const fn source(source: ResponseSource) -> &'static str {
    match source {
        ResponseSource::None => "none",
        ResponseSource::Upstream => "upstream",
        ResponseSource::Route => "route",
        ResponseSource::Plugin(_) => "plugin",
        ResponseSource::Stored(_) => "stored",
        ResponseSource::Gateway => "gateway",
    }
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// The key of a map whose keys come from elsewhere.
fn member(out: &mut Vec<u8>, first: &mut bool, name: &str) {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
    out.push(b'"');
    escape(out, name);
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    key(out, name);
    match value {
        Some(value) => {
            out.push(b'"');
            escape(out, value);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn milliseconds(out: &mut Vec<u8>, name: &str, duration: Duration) {
    key(out, name);
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    number(out, micros / 1000);
    out.push(b'.');
    padded(out, micros % 1000, 3);
}

fn padded(out: &mut Vec<u8>, value: u64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10_u64.pow(place) % 10) as u8);
    }
}

/// The inside of a JSON string (RFC 8259 section 7).
fn escape(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut start = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' && byte != 0x7f {
            continue;
        }
        out.extend_from_slice(&bytes[start..index]);
        start = index + 1;
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            _ => {
                out.extend(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
}

/// RFC 3339 in UTC with milliseconds.
fn time(out: &mut Vec<u8>, at: SystemTime) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    padded(out, year, 4);
    out.push(b'-');
    padded(out, month, 2);
    out.push(b'-');
    padded(out, day, 2);
    out.push(b'T');
    padded(out, second / 3600, 2);
    out.push(b':');
    padded(out, second / 60 % 60, 2);
    out.push(b':');
    padded(out, second % 60, 2);
    out.push(b'.');
    padded(out, since.subsec_millis().into(), 3);
    out.push(b'Z');
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
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut out = Vec::new();
            time(&mut out, UNIX_EPOCH + Duration::from_millis(millis));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
