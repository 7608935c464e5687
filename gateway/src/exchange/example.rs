//! An exchange for tests.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method};

use super::{ConnectionInfo, Edits, Exchange, Measures, Protocol, RequestHead, ResponseSource};
use crate::message::headers::{Hops, RequestId};

/// A GET of `https://a.example/t` over HTTP/2 that nobody has answered yet.
pub fn example() -> Exchange {
    Exchange {
        id: RequestId::random(),
        started: Instant::now(),
        started_at: UNIX_EPOCH,
        connection: Arc::new(ConnectionInfo {
            listener: "public".into(),
            peer: ([127, 0, 0, 1], 1).into(),
            peer_value: HeaderValue::from_static("127.0.0.1"),
            local: ([127, 0, 0, 1], 2).into(),
            tls: true,
            sni: None,
            protocol: Protocol::Http2,
            max_fields: 100,
            max_head: 65536,
            body_timeout: Duration::from_secs(60),
        }),
        client: [192, 0, 2, 1].into(),
        request: RequestHead {
            method: Method::GET,
            scheme: "https",
            authority: "a.example".to_owned(),
            path_and_query: "/t".to_owned(),
            headers: HeaderMap::new(),
            trailers: None,
            sent: false,
            edits: Edits::default(),
        },
        response: None,
        source: ResponseSource::None,
        route: None,
        upstream: None,
        endpoint: None,
        failure: None,
        error: None,
        attributes: Vec::new(),
        log_fields: Vec::new(),
        scratch: Vec::new(),
        measures: Measures::default(),
        hops: Hops::default(),
    }
}
