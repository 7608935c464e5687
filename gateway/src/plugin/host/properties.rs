//! What plugins are told of an exchange beside its heads, by name.

use std::time::Duration;

use crate::exchange::{Exchange, ResponseSource};
use crate::plugin::call::BodyMode;

/// `http.property`. `None` for what is not known (yet), and for other names.
pub(crate) fn property(exchange: &Exchange, name: &str) -> Option<String> {
    match name {
        "client.address" => Some(exchange.client.expose().to_string()),
        "connection.peer" => Some(exchange.connection.peer.expose().to_string()),
        "connection.local" => Some(exchange.connection.local.to_string()),
        "listener.name" => Some(exchange.connection.listener.to_string()),
        "tls.sni" => exchange.connection.sni.as_ref().map(|name| name.expose().to_string()),
        "protocol" => Some(exchange.connection.protocol.name().to_owned()),
        "request.id" => Some(exchange.id.to_string()),
        "route.name" => exchange.route.as_deref().map(str::to_owned),
        "upstream.name" => exchange.upstream.as_deref().map(str::to_owned),
        "upstream.endpoint" => exchange.endpoint.map(|endpoint| endpoint.to_string()),
        "response.source" => match exchange.source {
            ResponseSource::None => None,
            ResponseSource::Upstream => Some("upstream".to_owned()),
            ResponseSource::Route => Some("route".to_owned()),
            ResponseSource::Plugin(_) => Some("plugin".to_owned()),
            ResponseSource::Stored(_) => Some("stored".to_owned()),
            ResponseSource::Gateway => Some("gateway".to_owned()),
        },
        other => other
            .strip_prefix("attribute.")
            .and_then(|name| exchange.attribute(name))
            .map(|value| value.into_exposed().to_owned()),
    }
}

/// `http.measure`. `None` for what is not known (yet), and for other names.
pub(crate) fn measure(exchange: &Exchange, name: &str) -> Option<u64> {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).ok();
    let measures = &exchange.measures;
    match name {
        "response.status" => exchange.response.as_ref().map(|response| u64::from(response.status.as_u16())),
        "bytes.in" => Some(measures.bytes_in),
        "bytes.out" => Some(measures.bytes_out),
        "duration.total-us" if measures.total.is_zero() => micros(exchange.started.elapsed()),
        "duration.total-us" => micros(measures.total),
        "duration.upstream-us" => micros(measures.upstream),
        "duration.plugins-us" => micros(measures.plugins),
        "upstream.attempts" => Some(u64::from(measures.attempts)),
        _ => None,
    }
}

/// `body.mode`: how the running body phase reads.
pub(crate) fn body_mode(reads: BodyMode) -> Option<String> {
    match reads {
        BodyMode::Skip => None,
        BodyMode::Chunks => Some("chunks".to_owned()),
        BodyMode::Whole => Some("whole".to_owned()),
    }
}
