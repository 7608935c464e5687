//! Where a section of lines ends: a head, or trailers. Each byte is looked at once, however few come at a time.

use std::ops::Range;

use memchr::memchr;
use smallvec::SmallVec;

use super::{Malformed, Reading};

/// What a section may hold.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes, with the line that ends it.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

/// The lines of most heads, each with its end as a place: they are found once.
pub(super) type LineEnds = SmallVec<[u32; 24]>;

/// The progress of a section whose end has not come.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Bytes that were looked at.
    seen: usize,
    /// Where it begins: empty lines before a head are no part of it (RFC 9112 section 2.2).
    start: usize,
    /// Where the line begins that is looked at.
    line: usize,
    /// Where the lines before that one end: the place behind each.
    ends: LineEnds,
}

/// A whole section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place, with the empty line that ends it.
    pub place: Range<usize>,
    /// Where its lines end, but for the empty one, counted from its own beginning.
    pub(super) ends: LineEnds,
}

impl Section {
    /// Looks at what has come. Where the section is, with the empty line that ends it, once that is there.
    ///
    /// `before` lines come before the fields: one in a head, none in trailers.
    ///
    /// # Errors
    /// Where a line ends without CR and is not to, and where the section is larger than allowed.
    pub fn find_end(
        &mut self,
        bytes: &[u8],
        before: usize,
        limits: HeadLimits,
        reading: Reading,
    ) -> Result<Option<Found>, Malformed> {
        while let Some(offset) = memchr(b'\n', &bytes[self.seen..]) {
            let end = self.seen + offset;
            self.seen = end + 1;
            let has_return = end > self.line && bytes[end - 1] == b'\r';
            if !has_return && reading == Reading::Strict {
                return Err(Malformed::Syntax("a line ends without CR"));
            }
            let length = end - self.line - usize::from(has_return);
            if length == 0 && self.ends.len() >= before {
                if self.seen > limits.bytes {
                    return Err(Malformed::TooLarge);
                }
                return Ok(Some(Found { place: self.start..self.seen, ends: std::mem::take(&mut self.ends) }));
            }
            self.line = self.seen;
            if length == 0 && self.ends.is_empty() {
                self.start = self.seen;
                continue;
            }
            self.ends.push(u32::try_from(self.seen - self.start).map_err(|_| Malformed::TooLarge)?);
            if self.ends.len() > limits.fields + before {
                return Err(Malformed::TooLarge);
            }
        }
        self.seen = bytes.len();
        if self.seen >= limits.bytes { Err(Malformed::TooLarge) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 64, fields: 3 };

    fn find(bytes: &[u8], before: usize, reading: Reading) -> Result<Option<usize>, Malformed> {
        Ok(Section::default().find_end(bytes, before, LIMITS, reading)?.map(|section| section.place.end))
    }

    #[test]
    fn a_section_ends_with_an_empty_line() {
        assert_eq!(find(b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest", 1, Reading::Strict), Ok(Some(24)));
        assert_eq!(find(b"GET / HTTP/1.1\r\nA: b\r\n", 1, Reading::Strict), Ok(None));
        assert_eq!(find(b"\r\nrest", 0, Reading::Strict), Ok(Some(2)));
        assert_eq!(find(b"A: b\r\n\r\n", 0, Reading::Strict), Ok(Some(8)));
        assert_eq!(find(b"HTTP/1.1 200 OK\nA: b\n\n", 1, Reading::Tolerant), Ok(Some(22)));
        let bare = Err(Malformed::Syntax("a line ends without CR"));
        assert_eq!(find(b"GET / HTTP/1.1\nA: b\r\n\r\n", 1, Reading::Strict), bare);
        assert_eq!(find(b"GET / HTTP/1.1\r\nA: b\r\n\n", 1, Reading::Strict), bare);
    }

    #[test]
    fn empty_lines_before_a_head_are_no_part_of_it() {
        let mut section = Section::default();
        assert_eq!(section.find_end(b"\r", 1, LIMITS, Reading::Strict), Ok(None));
        assert_eq!(section.find_end(b"\r\n\r\nGET / HTTP/1.1\r\n", 1, LIMITS, Reading::Strict), Ok(None));
        let found = section.find_end(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", 1, LIMITS, Reading::Strict).unwrap().unwrap();
        assert_eq!((found.place, &found.ends[..]), (4..22, &[16][..]));
        assert!(find(&b"\r\n".repeat(40), 1, Reading::Strict).is_err(), "bounded as all else");
    }

    #[test]
    fn it_holds_no_more_than_is_allowed() {
        assert_eq!(find(b"L\r\nA:\r\nB:\r\nC:\r\n\r\n", 1, Reading::Strict), Ok(Some(17)));
        assert_eq!(find(b"L\r\nA:\r\nB:\r\nC:\r\nD:\r\n", 1, Reading::Strict), Err(Malformed::TooLarge));
        let long = [b"L\r\nA:".as_slice(), &[b'x'; 60]].concat();
        assert_eq!(find(&long, 1, Reading::Strict), Err(Malformed::TooLarge));
    }

    proptest! {
        #[test]
        fn the_end_is_the_same_however_it_comes(lines in "([a\r]{0,3}\r?\n){0,8}", cut in 0usize..40) {
            let bytes = lines.as_bytes();
            for reading in [Reading::Strict, Reading::Tolerant] {
                let whole = find(bytes, 1, reading);
                let mut section = Section::default();
                let cut = cut.min(bytes.len());
                let split = match section.find_end(&bytes[..cut], 1, LIMITS, reading) {
                    Ok(None) => section.find_end(bytes, 1, LIMITS, reading),
                    found => found,
                };
                prop_assert_eq!(split.map(|section| section.map(|section| section.place.end)), whole);
            }
        }
    }
}
