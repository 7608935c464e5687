//! The `traceparent` field of W3C Trace Context Level 2 (<https://www.w3.org/TR/trace-context-2/>), section 3.2.

use smallvec::SmallVec;

use super::context::{Incoming, Outgoing, Parent};
use super::{SpanId, TraceId, hex};

/// `00-`, a trace id, `-`, a span id, `-` and flags.
const LENGTH: usize = 55;
/// The sender's spans are recorded (section 3.2.2.5.1).
const SAMPLED: u8 = 1;
/// The trace id is random (section 3.2.2.5.2).
const RANDOM: u8 = 2;

/// Reads the value; `None` where it is invalid.
///
/// Section 4.3: of a version that is not known yet the parts of version 00 are read, with nothing or a `-` behind them;
/// version `ff` is invalid.
pub(super) fn parse(value: &[u8]) -> Option<Incoming> {
    let (head, rest) = value.split_at_checked(LENGTH)?;
    let [version] = hex::decode(&head[..2])?;
    match (version, rest) {
        (0xff, _) => return None,
        (_, []) => {}
        (1.., [b'-', ..]) => {}
        _ => return None,
    }
    if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
        return None;
    }
    let (trace, span) = (TraceId::parse(&head[3..35])?, SpanId::parse(&head[36..52])?);
    let [flags] = hex::decode(&head[53..])?;
    let parent = Parent { trace, span, is_random: flags & RANDOM != 0 };
    Some(Incoming { parent: Some(parent), sampled: Some(flags & SAMPLED != 0), ..Incoming::default() })
}

/// The value, in version 00: flags that nobody has defined yet are zero (section 3.2.2.5.3).
pub(super) fn format(of: &Outgoing) -> SmallVec<[u8; LENGTH]> {
    let flags = (u8::from(of.sampled) * SAMPLED) | (u8::from(of.is_random) * RANDOM);
    let mut text = SmallVec::new();
    text.extend_from_slice(b"00-");
    hex::encode(&of.trace.bytes(), &mut text);
    text.push(b'-');
    hex::encode(&of.span.bytes(), &mut text);
    text.push(b'-');
    hex::encode(&[flags], &mut text);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_specification() {
        let incoming = parse(VALID.as_bytes()).unwrap();
        let parent = incoming.parent.unwrap();
        assert_eq!(parent.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((parent.span.to_string().as_str(), parent.is_random), ("b7ad6b7169203331", false));
        assert_eq!(incoming.sampled, Some(true));
        let random = parse(VALID.replace("-01", "-02").as_bytes()).unwrap();
        assert_eq!((random.sampled, random.parent.unwrap().is_random), (Some(false), true));
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        for text in ["cc-", "01-", "fe-"] {
            let value = VALID.replacen("00-", text, 1);
            assert!(parse(value.as_bytes()).is_some(), "{value}");
            assert!(parse(format!("{value}-what-the-future-is").as_bytes()).is_some(), "{value}-");
            assert!(parse(format!("{value}.what").as_bytes()).is_none(), "{value}.");
        }
        // Flags of later versions too: those bits that are known.
        assert_eq!(
            parse(VALID.replacen("00-", "01-", 1).replace("-01", "-ff").as_bytes()).unwrap().sampled,
            Some(true)
        );
    }

    #[test]
    fn what_is_invalid_is_nothing() {
        for value in [
            "".to_owned(),
            VALID.replacen("00-", "ff-", 1),
            VALID.to_ascii_uppercase(),
            format!("{VALID}-"),
            format!("{VALID}-00"),
            format!(" {VALID}"),
            format!("{VALID} "),
            format!("{VALID},{VALID}"),
            VALID[1..].to_owned(),
            VALID.replace('-', "_"),
            VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            VALID.replace("b7ad6b7169203331", &"0".repeat(16)),
            VALID.replace("-01", "-0"),
            VALID.replace("-01", "-0x"),
            VALID.replace("-01", "-.0"),
            VALID.replacen("00-", "0x-", 1),
        ] {
            assert_eq!(parse(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_what_is_read(trace in 1_u128.., span in 1_u64.., sampled: bool, is_random: bool) {
            let trace = TraceId::from_bytes(trace.to_be_bytes()).unwrap();
            let span = SpanId::from_bytes(span.to_be_bytes()).unwrap();
            let text = format(&Outgoing { trace, span, sampled, is_random, debug: false });
            prop_assert_eq!(text.len(), LENGTH);
            let read = parse(&text).unwrap();
            prop_assert_eq!(read.parent, Some(Parent { trace, span, is_random }));
            prop_assert_eq!(read.sampled, Some(sampled));
        }

        #[test]
        fn nothing_else_than_its_own_form_is_read(value in "[0-9a-f]{2}-[0-9a-fA-F]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}") {
            let valid = value.len() == LENGTH && !value.bytes().any(|byte| byte.is_ascii_uppercase());
            let parts: Vec<&str> = value.split('-').collect();
            let exact = parts[1].len() == 32 && parts[2].len() == 16 && parts[3].len() == 2;
            let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
            let expected = valid && exact && parts[0] != "ff" && !zero(parts[1]) && !zero(parts[2]);
            prop_assert_eq!(parse(value.as_bytes()).is_some(), expected, "{}", value);
        }
    }
}
