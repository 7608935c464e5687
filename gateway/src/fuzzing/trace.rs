//! Any fields that tell of a trace: what is read of them, and what an upstream is told.

use std::time::Instant;

use super::{fields, lines};
use crate::message::FieldMap;
use crate::model::{Sampling, Share, TraceFormat};
use crate::trace::{Formats, Rate, SpanId, Trace, check_baggage};

/// Input: a line with the formats that are read (`w`, `b`, `m`, in this order) and `t` where the peer is trusted, then header
/// fields.
///
/// # Panics
/// Where what is told is not what was read, is told in two ways, or is beyond the limits.
pub fn run(data: &[u8]) {
    let mut lines = lines(data);
    let settings = lines.next().unwrap_or_default();
    let format = |byte: &u8| match byte {
        b'w' => Some(TraceFormat::W3c),
        b'b' => Some(TraceFormat::B3),
        b'm' => Some(TraceFormat::B3Multi),
        _ => None,
    };
    let listed: Vec<TraceFormat> = settings.iter().filter_map(format).collect();
    let (formats, is_trusted) = (Formats::new(&listed), settings.contains(&b't'));
    let mut sent = fields(&mut lines);
    check_baggage(&mut sent, is_trusted);
    assert!(is_trusted || !sent.contains_key("baggage"), "a stranger's baggage passed");

    let incoming = formats.read(&sent);
    let mut trace = Trace::of(incoming.clone(), formats, is_trusted, &mut Rate::share(0, 1), Instant::now());
    let share = Share::millionths(0);
    trace.settle(Sampling { share, errors: false, slower_than: None }, false);
    assert_eq!(trace.sampled, is_trusted && incoming.sampled == Some(true), "{incoming:?}");
    if let Some(parent) = incoming.parent {
        assert_eq!((trace.id, trace.parent), (parent.trace, Some(parent.span)));
    }
    assert!(incoming.state.as_ref().is_none_or(|state| state.len() <= 512 && state.split(',').count() <= 32));

    let span = SpanId::random();
    let mut told = sent.clone();
    trace.write(span, &mut told);
    let names = |format| match format {
        TraceFormat::W3c => ["traceparent", "tracestate"].as_slice(),
        TraceFormat::B3 => &["b3"],
        TraceFormat::B3Multi => &["x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags", "x-b3-parentspanid"],
    };
    for format in listed {
        for name in names(format) {
            assert!(told.get_all(*name).count() <= 1, "{name} is told twice");
        }
        // Each format alone says the same to whoever reads it.
        let read = Formats::new(&[format]).read(&told);
        let parent = read.parent.unwrap_or_else(|| panic!("{format:?} can't be read: {told:?}"));
        assert_eq!((parent.trace, parent.span, read.sampled), (trace.id, span, Some(trace.sampled || read.debug)));
        assert!(!read.debug || is_trusted, "a stranger asks for debugging");
    }
    others(&sent, &told, formats);
}

/// Fields of formats that are not spoken pass as they came.
fn others(sent: &FieldMap, told: &FieldMap, formats: Formats) {
    for (format, name) in
        [(TraceFormat::W3c, "traceparent"), (TraceFormat::B3, "b3"), (TraceFormat::B3Multi, "x-b3-traceid")]
    {
        if !formats.has(format) {
            assert!(sent.get_all(name).eq(told.get_all(name)), "{name} was changed");
        }
    }
}
