//! The place in a trace, read from the fields of a request and written into those of another.

use http::HeaderName;

use super::context::{Incoming, Outgoing};
use super::{b3, baggage, traceparent, tracestate};
use crate::message::{FieldMap, FieldValue, known};
use crate::model::TraceFormat;

const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// The formats that a place in a trace is told in, in the order in which they are read. Small, so that it can go wherever it
/// is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats([Option<TraceFormat>; 3]);

impl Formats {
    /// These, each once.
    pub fn new(formats: &[TraceFormat]) -> Self {
        let mut own = Self::default();
        for format in formats {
            if !own.has(*format)
                && let Some(place) = own.0.iter_mut().find(|place| place.is_none())
            {
                *place = Some(*format);
            }
        }
        own
    }

    fn iter(&self) -> impl Iterator<Item = TraceFormat> {
        self.0.into_iter().flatten()
    }

    /// Whether this is one of them.
    pub fn has(&self, format: TraceFormat) -> bool {
        self.iter().any(|known| known == format)
    }

    /// What the fields of a request say: the first format whose fields are valid. Nothing where none are.
    pub fn read(&self, fields: &FieldMap) -> Incoming {
        let read = |format| match format {
            TraceFormat::W3c => {
                let incoming = traceparent::parse(only(fields, known::TRACEPARENT).ok()??.expose())?;
                // W3C Trace Context section 3.3.1.2: an invalid one says nothing of the traceparent beside it.
                let state = tracestate::combine(fields.get_all(&known::TRACESTATE).map(FieldValue::expose));
                Some(Incoming { state, ..incoming })
            }
            TraceFormat::B3 => b3::parse(only(fields, B3).ok()??.expose()),
            TraceFormat::B3Multi => {
                let of = |name| only(fields, name).map(|value| value.map(FieldValue::expose));
                let (trace, span) = (of(B3_TRACE).ok()?, of(B3_SPAN).ok()?);
                let (sampled, flags) = (of(B3_SAMPLED).ok()?, of(B3_FLAGS).ok()?);
                b3::parse_several(b3::Several { trace, span, sampled, flags })
            }
        };
        self.iter().find_map(read).unwrap_or_default()
    }

    /// Writes what is told in place of whatever the fields say, but for the `tracestate`: see [`Formats::write_state`].
    pub fn write(&self, of: &Outgoing, fields: &mut FieldMap) {
        for format in self.iter() {
            match format {
                TraceFormat::W3c => insert(fields, known::TRACEPARENT, &traceparent::format(of)),
                TraceFormat::B3 => insert(fields, B3, &b3::format(of)),
                TraceFormat::B3Multi => {
                    insert(fields, B3_TRACE, of.trace.to_string().as_bytes());
                    insert(fields, B3_SPAN, of.span.to_string().as_bytes());
                    fields.remove(B3_PARENT);
                    fields.remove(B3_FLAGS);
                    fields.remove(B3_SAMPLED);
                    match of.debug {
                        true => insert(fields, B3_FLAGS, b"1"),
                        false => insert(fields, B3_SAMPLED, if of.sampled { b"1" } else { b"0" }),
                    }
                }
            }
        }
    }

    /// Writes the `tracestate` in place of what the fields say; none, where there is none or it was invalid.
    pub fn write_state(&self, state: Option<&str>, fields: &mut FieldMap) {
        if self.has(TraceFormat::W3c) {
            match state {
                Some(state) => insert(fields, known::TRACESTATE, state.as_bytes()),
                None => drop(fields.remove(known::TRACESTATE)),
            }
        }
    }
}

/// Takes off the `baggage` of a request where it is not to be passed on, or is no baggage.
pub fn check_baggage(fields: &mut FieldMap, passes: bool) {
    if fields.contains_key(BAGGAGE) && !(passes && baggage::is_valid(fields.get_all(&BAGGAGE).map(FieldValue::expose)))
    {
        fields.remove(BAGGAGE);
    }
}

/// There are several fields where there may be one.
struct Ambiguous;

fn only(fields: &FieldMap, name: impl crate::message::AsFieldName) -> Result<Option<FieldValue<'_>>, Ambiguous> {
    match fields.get_all(&name).nth(1) {
        None => Ok(fields.get(&name)),
        Some(_) => Err(Ambiguous),
    }
}

/// What is written here has no control characters, so it is always a value.
fn insert(fields: &mut FieldMap, name: impl crate::message::IntoFieldName, text: &[u8]) {
    if let Some(value) = FieldValue::of(text) {
        fields.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::headers::map;
    use crate::trace::{SpanId, TraceId};

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0";

    fn all() -> Formats {
        Formats::new(&[TraceFormat::W3c, TraceFormat::B3, TraceFormat::B3Multi, TraceFormat::W3c])
    }

    fn outgoing() -> Outgoing {
        let (trace, span) = (TraceId::from_bytes([1; 16]).unwrap(), SpanId::from_bytes([2; 8]).unwrap());
        Outgoing { trace, span, sampled: true, is_random: true, debug: false }
    }

    #[test]
    fn the_first_format_that_is_valid_counts() {
        let trace = |incoming: Incoming| incoming.parent.map(|parent| parent.trace.to_string()[..4].to_owned());
        let both = map(&[("traceparent", PARENT), ("b3", OTHER), ("tracestate", "a=1"), ("tracestate", "b=2")]);
        assert_eq!(trace(all().read(&both)).as_deref(), Some("0af7"));
        assert_eq!(all().read(&both).state.as_deref(), Some("a=1,b=2"));
        let b3_first = Formats::new(&[TraceFormat::B3, TraceFormat::W3c]);
        assert_eq!(trace(b3_first.read(&both)).as_deref(), Some("80f1"));
        let invalid = map(&[("traceparent", "00-x"), ("tracestate", "a=1"), ("b3", OTHER)]);
        let read = all().read(&invalid);
        assert_eq!((read.state.clone(), trace(read).as_deref()), (None, Some("80f1")));
        assert_eq!(Formats::new(&[TraceFormat::W3c]).read(&invalid), Incoming::default());
    }

    #[test]
    fn fields_that_come_twice_are_invalid() {
        let twice = map(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert_eq!(all().read(&twice), Incoming::default());
        assert_eq!(all().read(&map(&[("b3", OTHER), ("b3", OTHER)])), Incoming::default());
        let several =
            [("x-b3-traceid", "80f198ee56343ba8"), ("x-b3-spanid", "e457b5a2e4d86bd1"), ("x-b3-sampled", "1")];
        assert!(all().read(&map(&several)).parent.is_some());
        assert_eq!(all().read(&map(&[several.as_slice(), &[("x-b3-sampled", "1")]].concat())), Incoming::default());
    }

    #[test]
    fn what_is_told_takes_the_place_of_what_came() {
        let mut fields = map(&[
            ("traceparent", "a"),
            ("traceparent", "b"),
            ("b3", "0"),
            ("x-b3-parentspanid", "e457b5a2e4d86bd1"),
            ("x-b3-flags", "1"),
            ("x-other", "1"),
        ]);
        all().write(&outgoing(), &mut fields);
        let trace = "01".repeat(16);
        let span = "02".repeat(8);
        assert_eq!(fields.text("traceparent"), format!("00-{trace}-{span}-03"));
        assert_eq!(fields.text("b3"), format!("{trace}-{span}-1"));
        assert_eq!((fields.text("x-b3-traceid"), fields.text("x-b3-spanid")), (trace.as_str(), span.as_str()));
        assert_eq!(fields.text("x-b3-sampled"), "1");
        assert!(!fields.contains_key("x-b3-parentspanid") && !fields.contains_key("x-b3-flags"));
        assert_eq!(fields.len(), 6);
    }

    #[test]
    fn a_state_is_replaced_where_its_format_is_spoken() {
        for (formats, expected) in [(all(), None), (Formats::new(&[TraceFormat::B3]), Some("x=1"))] {
            let mut fields = map(&[("tracestate", "x=1")]);
            formats.write_state(None, &mut fields);
            assert_eq!(fields.get("tracestate").map(|value| value.expose_str().unwrap()), expected);
        }
        let mut fields = map(&[("tracestate", "x=1"), ("tracestate", "y=1")]);
        all().write_state(Some("x=1,y=1"), &mut fields);
        assert_eq!(fields.get_all("tracestate").collect::<Vec<_>>(), ["x=1,y=1"]);
    }

    #[test]
    fn baggage_passes_where_it_may_and_is_valid() {
        for (value, passes, left) in [("a=1", true, true), ("a=1", false, false), ("a", true, false)] {
            let mut fields = map(&[("baggage", value)]);
            check_baggage(&mut fields, passes);
            assert_eq!(fields.contains_key("baggage"), left, "{value} {passes}");
        }
    }
}
