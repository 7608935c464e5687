//! Ids of traces and spans, W3C Trace Context sections 3.2.2.3 and 3.2.2.4.

use std::fmt;

use super::hex;

/// The id of a trace: 16 bytes that are not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span: 8 bytes that are not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl TraceId {
    /// A new one.
    pub fn random() -> Self {
        Self(fastrand::u128(1..).to_be_bytes())
    }

    /// From 32 lower-case hex digits that are not all zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        hex::decode(text).and_then(Self::from_bytes)
    }

    /// What samplers draw by: the lowest 56 bits, which are random (W3C Trace Context Level 2, section 3.2.2.5.2).
    pub const fn draw(self) -> u64 {
        let [_, _, _, _, _, _, _, _, _, a, b, c, d, e, f, g] = self.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g])
    }

    /// Unless they are all zero.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    /// A new one.
    pub fn random() -> Self {
        Self(fastrand::u64(1..).to_be_bytes())
    }

    /// From 16 lower-case hex digits that are not all zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        hex::decode(text).and_then(Self::from_bytes)
    }

    /// The id of a span below this one, known by a number that no other below it has. It can be told before there is a record
    /// of that span, and needs no place in one.
    pub const fn below(self, number: u64) -> Self {
        // SplitMix64, which is a bijection: different numbers give different ids.
        let mut id =
            u64::from_be_bytes(self.0).wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        id ^= id >> 31;
        Self(if id == 0 { u64::MAX } else { id }.to_be_bytes())
    }

    /// Unless they are all zero.
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 8] {
        self.0
    }
}

/// In lower-case hex, as headers and logs have it.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_hex_of_their_full_length_and_never_zero() {
        let trace = TraceId::from_bytes([0, 0xab, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        assert_eq!(trace.to_string(), "00ab0000000000000000000000000001");
        assert_eq!(SpanId::from_bytes([0, 0, 0, 0, 0, 0, 0, 0xc]).unwrap().to_string(), "000000000000000c");
        assert!(TraceId::from_bytes([0; 16]).is_none() && SpanId::from_bytes([0; 8]).is_none());
        assert_eq!(TraceId::parse(trace.to_string().as_bytes()), Some(trace));
        for text in
            ["", "0000000000000000", "000000000000000C", "00000000000000c", "00000000000000000c", "000000000000000g"]
        {
            assert_eq!(SpanId::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(TraceId::parse(b"ffffffffffffffffff0102030405060f").map(TraceId::draw), Some(0x01_0203_0405_060f));
    }

    #[test]
    fn spans_below_one_have_ids_of_their_own() {
        let span = SpanId::from_bytes([7; 8]).unwrap();
        let ids: std::collections::HashSet<_> = (0..10_000).map(|number| span.below(number)).collect();
        assert!(ids.len() == 10_000 && !ids.contains(&span));
        assert_eq!(span.below(3), span.below(3));
    }
}
