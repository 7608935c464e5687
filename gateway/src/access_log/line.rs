//! A record as one line. What a format asks for is compiled to pieces at load, for all formats alike; per exchange they are
//! written one after the other.

use std::time::SystemTime;

use http::HeaderName;

use super::escape::Syntax;
use super::fields;
use super::syslog::Header;
use super::value::{self, Value};
use crate::exchange::Exchange;
use crate::model::{AccessLog, LOG_MEMBERS, LinePiece, LogField, LogTarget, RecordFormat};
use crate::sanitize::Sanitizer;

/// Encodes by one configuration.
#[derive(Debug)]
pub(super) struct Line {
    pieces: Box<[Piece]>,
    sanitizer: Sanitizer,
}

/// A part of a line.
#[derive(Debug)]
enum Piece {
    /// The same in every line.
    Text(Box<[u8]>),
    /// What is known of the exchange.
    Value(LogField, Syntax),
    /// A request header field.
    Header(HeaderName, Syntax),
    /// A member of an object: a comma, its name and a colon before what is known.
    Member(Box<[u8]>, LogField, Syntax),
    /// The same, left out where nothing is known.
    OptionalMember(Box<[u8]>, LogField, Syntax),
}

/// What NGINX calls `combined`, in our variables.
const COMBINED: [(&str, LogField); 5] = [
    ("", LogField::Client),
    (" - - [", LogField::TimeLocal),
    ("] \"", LogField::RequestLine),
    ("\" ", LogField::StatusNumber),
    (" ", LogField::BytesOut),
];

impl Line {
    /// Compiles the lines of a log.
    pub(super) fn new(log: &AccessLog) -> Self {
        let sanitizer = Sanitizer::new(&log.include);
        let mut pieces = Vec::new();
        let syslog = match &log.target {
            LogTarget::Syslog(syslog) => Some(syslog),
            LogTarget::Stdout | LogTarget::File(_) => None,
        };
        if let Some(syslog) = syslog {
            let header = Header::new(syslog);
            text(&mut pieces, &header.before_time);
            pieces.push(Piece::Value(LogField::Time, Syntax::Bare));
            text(&mut pieces, &header.after_time);
        }
        match &log.format {
            // Not every receiver expects the mark that says UTF-8 (RFC 5424 section 6.4): all of it is ASCII.
            RecordFormat::Json(members) => {
                let syntax = if syslog.is_some() { Syntax::JsonAscii } else { Syntax::Json };
                object(&mut pieces, members.as_deref(), syntax, &sanitizer);
            }
            RecordFormat::Combined => combined(&mut pieces, &sanitizer),
            RecordFormat::Template(template) => {
                let is_ascii = |piece: &LinePiece| !matches!(piece, LinePiece::Text(text) if !text.is_ascii());
                if syslog.is_some() && !template.iter().all(is_ascii) {
                    text(&mut pieces, "\u{feff}");
                }
                self::template(&mut pieces, template);
            }
        }
        text(&mut pieces, "\n");
        Self { pieces: pieces.into(), sanitizer }
    }

    /// Appends the line of an exchange that began at `started`.
    pub(super) fn encode(&self, exchange: &Exchange, started: SystemTime, out: &mut Vec<u8>) {
        let value = |field| value::of(field, exchange, started, &self.sanitizer);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Value(field, syntax) => value(*field).write(*syntax, out),
                Piece::Header(name, syntax) => fields::header(exchange, name, *syntax, out),
                Piece::Member(key, field, syntax) => {
                    out.extend_from_slice(key);
                    value(*field).write(*syntax, out);
                }
                Piece::OptionalMember(key, field, syntax) => {
                    let value = value(*field);
                    if !matches!(value, Value::Absent) {
                        // It may be that none of those before it was there.
                        let comma = usize::from(out.last() == Some(&b'{'));
                        out.extend_from_slice(&key[comma..]);
                        value.write(*syntax, out);
                    }
                }
            }
        }
    }
}

/// Adds a text; one that follows another becomes a part of it.
fn text(pieces: &mut Vec<Piece>, text: &str) {
    if let Some(Piece::Text(before)) = pieces.last_mut() {
        let mut longer = std::mem::take(before).into_vec();
        longer.extend_from_slice(text.as_bytes());
        *before = longer.into();
    } else if !text.is_empty() {
        pieces.push(Piece::Text(text.as_bytes().into()));
    }
}

/// A JSON object of these members, or of all that may be shown. What few exchanges have is left out of the others' records,
/// unless it is asked for.
fn object(pieces: &mut Vec<Piece>, members: Option<&[LogField]>, syntax: Syntax, sanitizer: &Sanitizer) {
    use LogField::{Headers, PluginFields, Query, SpanId, TraceId};
    let by_default = |field: &LogField| match field {
        Query => sanitizer.shows_query(),
        Headers => !sanitizer.request_headers().is_empty(),
        _ => true,
    };
    let all = || LOG_MEMBERS.iter().map(|(_, field, _)| *field).filter(by_default).collect();
    let fields: Vec<LogField> = members.map_or_else(all, <[_]>::to_vec);
    text(pieces, "{");
    for (index, field) in fields.into_iter().enumerate() {
        let Some((name, ..)) = LOG_MEMBERS.iter().find(|(_, member, _)| *member == field) else { continue };
        let optional = members.is_none() && matches!(field, TraceId | SpanId | PluginFields);
        match optional {
            true => pieces.push(Piece::OptionalMember(format!(",\"{name}\":").into_bytes().into(), field, syntax)),
            false => {
                let comma = if index == 0 { "" } else { "," };
                pieces.push(Piece::Member(format!("{comma}\"{name}\":").into_bytes().into(), field, syntax));
            }
        }
    }
    text(pieces, "}");
}

/// `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`. The
/// gateway knows no users of that kind.
fn combined(pieces: &mut Vec<Piece>, sanitizer: &Sanitizer) {
    for (before, field) in COMBINED {
        text(pieces, before);
        pieces.push(Piece::Value(field, Syntax::Quoted));
    }
    for name in [http::header::REFERER, http::header::USER_AGENT] {
        text(pieces, " \"");
        match sanitizer.request_headers().contains(&name) {
            true => pieces.push(Piece::Header(name, Syntax::Quoted)),
            false => text(pieces, "-"),
        }
        text(pieces, "\"");
    }
}

/// The operator's own line. Where a value stands outside of quotes, a space in it would look like the next column.
fn template(pieces: &mut Vec<Piece>, template: &[LinePiece]) {
    let mut quoted = false;
    for piece in template {
        let syntax = if quoted { Syntax::Quoted } else { Syntax::Bare };
        match piece {
            LinePiece::Text(between) => {
                quoted ^= between.bytes().filter(|byte| *byte == b'"').count() % 2 == 1;
                text(pieces, between);
            }
            LinePiece::Field(field) => pieces.push(Piece::Value(*field, syntax)),
            LinePiece::RequestHeader(name) => pieces.push(Piece::Header(name.clone(), syntax)),
        }
    }
}
