//! Fields whose names come from elsewhere: request header fields that the configuration names, and what plugins added.

use http::HeaderName;
use plugin_rules::notes::MAX_RECORDED;

use super::escape::{Syntax, json_string};
use crate::exchange::Exchange;

/// The values of a request header field, several joined.
pub(super) fn header(exchange: &Exchange, name: &HeaderName, syntax: Syntax, out: &mut Vec<u8>) {
    let start = out.len();
    for value in exchange.request.headers.get_all(name) {
        if out.len() > start {
            syntax.bytes(b", ", out);
        }
        syntax.bytes(value.expose(), out);
    }
    if out.len() == start {
        out.push(b'-');
    }
}

/// The request's header fields that the configuration names, as an object.
pub(super) fn headers(exchange: &Exchange, names: &[HeaderName], syntax: Syntax, out: &mut Vec<u8>) {
    out.push(b'{');
    for name in names {
        let mut values = exchange.request.headers.get_all(name).peekable();
        if values.peek().is_none() {
            continue;
        }
        member(name.as_str(), syntax, out);
        out.push(b'"');
        while let Some(value) = values.next() {
            syntax.bytes(value.expose(), out);
            if values.peek().is_some() {
                out.extend_from_slice(b", ");
            }
        }
        out.push(b'"');
    }
    out.push(b'}');
}

/// The key of an object whose keys come from elsewhere.
fn member(name: &str, syntax: Syntax, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    json_string(name, syntax, out);
    out.push(b':');
}

/// What plugins added, as an object: the last word on a name counts, and `None` takes it back.
pub(super) fn plugins(exchange: &Exchange, syntax: Syntax, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in exchange.log_fields.iter().enumerate() {
        let overridden = exchange.log_fields[index + 1..].iter().any(|(later, _)| later == name);
        let (Some(value), false) = (value, overridden) else { continue };
        member(name.expose(), syntax, out);
        let value = value.expose();
        json_string(&value[..value.floor_char_boundary(MAX_RECORDED)], syntax, out);
    }
    out.push(b'}');
}
