//! Lines that parse back, and writers that lose nothing unless they must.

mod formats;
mod records;
mod workers;

use std::time::{Duration, UNIX_EPOCH};

use http::{Method, StatusCode};

use super::line::Line;
use crate::exchange::{ConnectionInfo, Exchange, Measures, Protocol, RequestHead, ResponseHead, ResponseSource};
use crate::message::FieldMap;
use crate::message::headers::{RequestId, map};
use crate::model::{AccessLog as Config, Disclosure, LogSelection, LogTarget, RecordFormat};
use crate::sensitive::Sensitive;

fn exchange(path_and_query: &str) -> Exchange {
    let (authority, target) = ("a.no".to_owned(), path_and_query.parse().unwrap());
    let request =
        RequestHead { sent: true, ..RequestHead::new(Method::GET, "https", authority, target, FieldMap::new()) };
    let connection = ConnectionInfo::local(Protocol::Http3);
    let id = RequestId::sent(&map(&[("x-request-id", "id-1")])).unwrap();
    Exchange {
        response: Some(ResponseHead { sent: true, ..ResponseHead::new(StatusCode::OK, FieldMap::new()) }),
        source: ResponseSource::Upstream,
        route: Some("inventory".into()),
        upstream: Some("stock".into()),
        endpoint: Some(([10, 0, 0, 7], 5000).into()),
        measures: Measures {
            bytes_in: 1,
            bytes_out: 2,
            upstream: Duration::from_micros(1500),
            plugins: Duration::from_micros(7),
            attempts: 1,
            total: Duration::from_micros(12_034),
        },
        ..Exchange::new(id, connection, [192, 0, 2, 77].into(), request)
    }
}

/// A field as a plugin adds it.
fn noted((name, value): (&str, Option<&str>)) -> (Sensitive<String>, Option<Sensitive<String>>) {
    (name.to_owned().into(), value.map(|value| value.to_owned().into()))
}

/// A log in JSON.
fn config(target: LogTarget) -> Config {
    let (format, selection) = (RecordFormat::Json(None), LogSelection::default());
    Config { target, format, include: Disclosure::default(), selection }
}

/// The line of an exchange, without its line break, which is its only one.
fn line(config: &Config, exchange: &Exchange) -> String {
    let mut out = Vec::new();
    Line::new(config).encode(exchange, UNIX_EPOCH + Duration::from_millis(1_700_000_000_123), &mut out);
    let line = String::from_utf8(out).unwrap();
    let line = line.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{line}");
    line.to_owned()
}
