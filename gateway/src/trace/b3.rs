//! B3, as Zipkin and the meshes that grew around it tell of traces (<https://github.com/openzipkin/b3-propagation>): one field
//! `b3`, or several `X-B3-*`.

use smallvec::SmallVec;

use super::context::{Incoming, Outgoing, Parent};
use super::{SpanId, TraceId, hex};

/// The longest `b3` that is made: ids and a flag.
const LONGEST: usize = 32 + 1 + 16 + 2;

/// Reads the one field: `{trace}-{span}[-{sampled}[-{parent}]]`, or `{sampled}` alone. `None` where it is invalid.
pub(super) fn parse(value: &[u8]) -> Option<Incoming> {
    let mut parts = value.split(|byte| *byte == b'-');
    let first = parts.next()?;
    let Some(second) = parts.next() else {
        let (sampled, debug) = state(first)?;
        return Some(Incoming { sampled: Some(sampled), debug, ..Incoming::default() });
    };
    let parent = parent(first, second)?;
    let (sampled, debug) = match parts.next() {
        Some(text) => state(text).map(|(sampled, debug)| (Some(sampled), debug))?,
        None => (None, false),
    };
    if let Some(grandparent) = parts.next() {
        SpanId::parse(grandparent)?;
    }
    parts.next().is_none().then_some(Incoming { parent: Some(parent), sampled, debug, state: None })
}

/// The fields of the form with several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Several<'a> {
    pub(super) trace: Option<&'a [u8]>,
    pub(super) span: Option<&'a [u8]>,
    pub(super) sampled: Option<&'a [u8]>,
    pub(super) flags: Option<&'a [u8]>,
}

/// Reads the several fields; `None` where one of them is invalid, an id is alone, or there is none.
pub(super) fn parse_several(fields: Several<'_>) -> Option<Incoming> {
    let parent = match (fields.trace, fields.span) {
        (Some(trace), Some(span)) => Some(parent(trace, span)?),
        (None, None) => None,
        _ => return None,
    };
    let debug = match fields.flags {
        Some(b"1") => true,
        Some(b"0") | None => false,
        Some(_) => return None,
    };
    let sampled = match fields.sampled {
        // Tracers of before the specification say so in words.
        Some(b"1" | b"true") => Some(true),
        Some(b"0" | b"false") => Some(false),
        Some(_) => return None,
        None => None,
    };
    let sampled = if debug { Some(true) } else { sampled };
    (parent.is_some() || sampled.is_some()).then_some(Incoming { parent, sampled, debug, state: None })
}

/// Trace ids have 64 bits or 128; the short ones are the low half of a long one.
fn parent(trace: &[u8], span: &[u8]) -> Option<Parent> {
    let trace = match trace.len() {
        16 => {
            let mut bytes = [0; 16];
            bytes[8..].copy_from_slice(&hex::decode::<8>(trace)?);
            TraceId::from_bytes(bytes)?
        }
        _ => TraceId::parse(trace)?,
    };
    Some(Parent { trace, span: SpanId::parse(span)?, is_random: false })
}

/// Whether it is sampled, and whether that is for debugging.
const fn state(text: &[u8]) -> Option<(bool, bool)> {
    match text {
        b"1" => Some((true, false)),
        b"0" => Some((false, false)),
        b"d" => Some((true, true)),
        _ => None,
    }
}

/// The value of the one field.
pub(super) fn format(of: &Outgoing) -> SmallVec<[u8; LONGEST]> {
    let mut text = SmallVec::new();
    hex::encode(&of.trace.bytes(), &mut text);
    text.push(b'-');
    hex::encode(&of.span.bytes(), &mut text);
    text.push(b'-');
    text.push(match (of.debug, of.sampled) {
        (true, _) => b'd',
        (false, true) => b'1',
        (false, false) => b'0',
    });
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    fn read(text: &str) -> Option<(Option<String>, Option<bool>, bool)> {
        let Incoming { parent, sampled, debug, .. } = parse(text.as_bytes())?;
        Some((parent.map(|parent| format!("{}-{}", parent.trace, parent.span)), sampled, debug))
    }

    #[test]
    fn one_field() {
        let ids = Some(format!("{TRACE}-{SPAN}"));
        assert_eq!(read(&format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90")), Some((ids.clone(), Some(true), false)));
        assert_eq!(read(&format!("{TRACE}-{SPAN}-0")), Some((ids.clone(), Some(false), false)));
        assert_eq!(read(&format!("{TRACE}-{SPAN}-d")), Some((ids.clone(), Some(true), true)));
        assert_eq!(read(&format!("{TRACE}-{SPAN}")), Some((ids, None, false)));
        let padded = format!("{}64fe8b2a57d3eff7-{SPAN}", "0".repeat(16));
        assert_eq!(read(&format!("64fe8b2a57d3eff7-{SPAN}-1")), Some((Some(padded), Some(true), false)));
        for (text, sampled, debug) in [("0", false, false), ("1", true, false), ("d", true, true)] {
            assert_eq!(read(text), Some((None, Some(sampled), debug)), "{text}");
        }
    }

    #[test]
    fn what_is_invalid_is_nothing() {
        let zero = "0".repeat(16);
        for text in [
            String::new(),
            "2".to_owned(),
            TRACE.to_owned(),
            format!("{TRACE}-"),
            format!("{TRACE}-{SPAN}-"),
            format!("{TRACE}-{SPAN}-2"),
            format!("{TRACE}-{SPAN}-1-"),
            format!("{TRACE}-{SPAN}-1-{SPAN}-{SPAN}"),
            format!("{TRACE}-{zero}-1"),
            format!("{zero}-{SPAN}-1"),
            format!("{}-{SPAN}-1", TRACE.to_uppercase()),
            format!("{}-{SPAN}-1", &TRACE[1..]),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
    }

    #[test]
    fn several_fields() {
        let (trace, span) = (Some(TRACE.as_bytes()), Some(SPAN.as_bytes()));
        let fields =
            |sampled: Option<&'static [u8]>, flags: Option<&'static [u8]>| Several { trace, span, sampled, flags };
        for (fields, sampled, debug) in [
            (fields(Some(b"1"), None), Some(true), false),
            (fields(Some(b"true"), None), Some(true), false),
            (fields(Some(b"0"), Some(b"0")), Some(false), false),
            (fields(None, Some(b"1")), Some(true), true),
            (fields(None, None), None, false),
        ] {
            let read = parse_several(fields).unwrap();
            assert_eq!((read.sampled, read.debug, read.parent.is_some()), (sampled, debug, true), "{fields:?}");
        }
        let alone = Several { sampled: Some(b"0"), ..Several::default() };
        assert_eq!(parse_several(alone).unwrap().sampled, Some(false));
        for fields in [
            Several::default(),
            Several { span: None, ..fields(Some(b"1"), None) },
            Several { trace: None, ..fields(Some(b"1"), None) },
            fields(Some(b"yes"), None),
            fields(None, Some(b"2")),
        ] {
            assert_eq!(parse_several(fields), None, "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_what_is_read(trace in 1_u128.., span in 1_u64.., sampled: bool, debug: bool) {
            let trace = TraceId::from_bytes(trace.to_be_bytes()).unwrap();
            let span = SpanId::from_bytes(span.to_be_bytes()).unwrap();
            let read = parse(&format(&Outgoing { trace, span, sampled, debug, is_random: true })).unwrap();
            prop_assert_eq!(read.parent, Some(Parent { trace, span, is_random: false }));
            prop_assert_eq!((read.sampled, read.debug), (Some(sampled || debug), debug));
        }
    }
}
