//! The chunked transfer coding (RFC 9112 section 7.1), read.

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr;

use super::lines::{HeadLimits, Section};
use super::{Malformed, Reading, is_token, parse_fields};
use crate::message::FieldMap;
use crate::sensitive::no_content;

/// The longest line before a chunk: its size and extensions. Nobody is known to send any of those.
const LONGEST_LINE: usize = 4 << 10;
/// Bytes of such lines, beyond what sizes take, in one body: who sends a byte at a time with extensions sends little else.
const MOST_EXTENSIONS: usize = 16 << 10;
/// The line of a size of 64 bits.
const SIZE_LINE: usize = 18;

/// What a body comes to.
#[derive(PartialEq, Eq)]
pub enum Decoded {
    /// A piece of it.
    Data(Bytes),
    /// Its end, with its trailers if it has any.
    End(Option<FieldMap>),
    /// More has to come.
    Partial,
}

no_content!(Decoded);

/// Reads chunks from a buffer.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    reading: Reading,
    state: State,
    /// Bytes of extensions so far.
    extensions: usize,
    limits: HeadLimits,
}

#[derive(Clone, Debug)]
enum State {
    /// Before a line with a size.
    Size,
    /// So many bytes of a chunk are to come.
    Data(u64),
    /// Before the line's end behind a chunk.
    DataEnd,
    Trailers(Section),
    Ended,
}

impl ChunkedDecoder {
    /// At the beginning of a body. `limits` are those of its trailers.
    pub const fn new(reading: Reading, limits: HeadLimits) -> Self {
        Self { reading, state: State::Size, extensions: 0, limits }
    }

    /// Whether the end has been read.
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Takes the next part of the body from what has come.
    ///
    /// # Errors
    /// Where it is malformed. What is asked for after that has no meaning.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, Malformed> {
        loop {
            match &mut self.state {
                State::Size => {
                    let Some(end) = memchr(b'\n', buffer) else {
                        // The CR may have come before the LF.
                        return if buffer.len() > LONGEST_LINE + 1 {
                            Err(Malformed::TooLarge)
                        } else {
                            Ok(Decoded::Partial)
                        };
                    };
                    let Some(line) = buffer[..end].strip_suffix(b"\r") else {
                        return Err(Malformed::Syntax("the line of a chunk's size ends without CR"));
                    };
                    if line.len() > LONGEST_LINE {
                        return Err(Malformed::TooLarge);
                    }
                    self.extensions += line.len().saturating_sub(SIZE_LINE);
                    if self.extensions > MOST_EXTENSIONS {
                        return Err(Malformed::TooLarge);
                    }
                    self.state = match size(line, self.reading)? {
                        0 => State::Trailers(Section::default()),
                        size => State::Data(size),
                    };
                    buffer.advance(end + 1);
                }
                State::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(Decoded::Partial);
                    }
                    let count = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
                    *left -= count as u64;
                    if *left == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok(Decoded::Data(buffer.split_to(count).freeze()));
                }
                State::DataEnd => match &buffer[..] {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(Decoded::Partial),
                    _ => return Err(Malformed::Syntax("a chunk that is longer than its size")),
                },
                State::Trailers(section) => {
                    let Some(found) = section.find_end(buffer, 0, self.limits, Reading::Strict)? else {
                        return Ok(Decoded::Partial);
                    };
                    let section = buffer.split_to(found.place.end);
                    self.state = State::Ended;
                    let trailers = match section.len() {
                        0..=2 => None,
                        _ => Some(parse_fields(section, &found, self.reading)?),
                    };
                    return Ok(Decoded::End(trailers));
                }
                State::Ended => return Ok(Decoded::End(None)),
            }
        }
    }
}

/// The size in a line before a chunk.
fn size(line: &[u8], reading: Reading) -> Result<u64, Malformed> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    if digits == 0 {
        return Err(Malformed::Syntax("a chunk without a size"));
    }
    let mut size: u64 = 0;
    for &digit in &line[..digits] {
        if size > u64::MAX >> 4 {
            return Err(Malformed::Syntax("a chunk whose size is beyond 64 bits"));
        }
        let value = char::from(digit).to_digit(16).unwrap_or_default();
        size = size << 4 | u64::from(value);
    }
    let rest = &line[digits..];
    let accepted = match reading {
        Reading::Strict => are_extensions(rest),
        // NGINX and HAProxy take blanks there, and neither looks at extensions.
        Reading::Tolerant => {
            matches!(rest.trim_ascii_start(), [] | [b';', ..]) && rest.iter().all(|&byte| byte == b'\t' || byte >= b' ')
        }
    };
    if accepted { Ok(size) } else { Err(Malformed::Syntax("a chunk's size with something malformed behind it")) }
}

/// Whether this is what RFC 9112 section 7.1.1 has behind a size, without the blanks that nothing sends there.
fn are_extensions(mut rest: &[u8]) -> bool {
    while let [b';', extension @ ..] = rest {
        let name = token(extension);
        if name == 0 {
            return false;
        }
        rest = &extension[name..];
        if let [b'=', value @ ..] = rest {
            let length = if value.first() == Some(&b'"') { quoted(value) } else { token(value) };
            if length == 0 {
                return false;
            }
            rest = &value[length..];
        }
    }
    rest.is_empty()
}

/// The length of the token that this begins with.
fn token(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !is_token(byte)).unwrap_or(bytes.len())
}

/// The length of the quoted string (RFC 9110 section 5.6.4) that this begins with; 0 where it is none.
fn quoted(bytes: &[u8]) -> usize {
    let mut place = 1;
    while let Some(byte) = bytes.get(place) {
        match byte {
            b'"' => return place + 1,
            b'\\' => place += 1,
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return 0,
        }
        if bytes.get(place).is_none_or(|&byte| byte != b'\t' && (byte < b' ' || byte == 0x7f)) {
            return 0;
        }
        place += 1;
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 1 << 10, fields: 4 };

    /// The body and whether it has ended, of input that comes in pieces of at most `step` bytes.
    fn decode(input: &[u8], step: usize, reading: Reading) -> Result<(Vec<u8>, Option<Option<FieldMap>>), Malformed> {
        let (mut decoder, mut buffer, mut body) = (ChunkedDecoder::new(reading, LIMITS), BytesMut::new(), Vec::new());
        for piece in input.chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer)? {
                    Decoded::Data(data) => body.extend_from_slice(&data),
                    Decoded::End(trailers) => return Ok((body, Some(trailers))),
                    Decoded::Partial => break,
                }
            }
        }
        Ok((body, None))
    }

    #[test]
    fn chunks_become_a_body_however_they_are_cut() {
        let input = b"3\r\nabc\r\nA;x=y;z=\"q \\\" r\"\r\n0123456789\r\n0\r\nX-A: 1\r\n\r\n";
        for step in 1..=input.len() {
            let (body, end) = decode(input, step, Reading::Strict).unwrap();
            assert_eq!(body, b"abc0123456789");
            assert_eq!(end.unwrap().unwrap().text("x-a"), "1");
        }
        assert_eq!(decode(b"0\r\n\r\n", 9, Reading::Strict), Ok((Vec::new(), Some(None))));
        assert_eq!(decode(b"00000000000000000003\r\nabc\r\n0\r\n\r", 9, Reading::Strict), Ok((b"abc".to_vec(), None)));
    }

    #[test]
    fn clients_chunks_have_one_form() {
        for line in [
            "",
            " 3",
            "3 ",
            "3\t",
            "3 ;a",
            "3; a",
            "3;",
            "3;;a",
            "3;a=",
            "3;a=\"b",
            "3;a=\"b\"c",
            "3;a b",
            "3;a=b c",
            "+3",
            "-3",
            "0x3",
            "3,",
            "g",
            "10000000000000000",
            "3;a=\"\\",
            "3;a\x01",
        ] {
            let input = format!("{line}\r\nabc\r\n0\r\n\r\n");
            assert!(decode(input.as_bytes(), 99, Reading::Strict).is_err(), "{line:?}");
        }
        for input in [
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nabc\r\n0\n\r\n",
            "3\r\nabc\r\n0\r\n\n",
            "3\r\nabc\r\n0\r\na:b\n\r\n",
            "3\r\nabc\r\n0\r\na b\r\n\r\n",
            "3\r\nabc\r\n0\r\na : b\r\n\r\n",
        ] {
            assert!(decode(input.as_bytes(), 99, Reading::Strict).is_err(), "{input:?}");
        }
    }

    #[test]
    fn servers_may_leave_blanks_behind_a_size() {
        for line in ["3 ", "3\t;a", "3 ; a = b", "3;"] {
            let input = format!("{line}\r\nabc\r\n0\r\n\r\n");
            assert!(decode(input.as_bytes(), 99, Reading::Tolerant).is_ok(), "{line:?}");
        }
        for line in ["3 4", "3,", "", "3;\x01"] {
            let input = format!("{line}\r\nabc\r\n0\r\n\r\n");
            assert!(decode(input.as_bytes(), 99, Reading::Tolerant).is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_longest_line_is_read_also_where_it_is_cut_before_its_lf() {
        let input = |length: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(length - 2));
        for step in [1, LONGEST_LINE, LONGEST_LINE + 1, 9_999] {
            assert_eq!(decode(input(LONGEST_LINE).as_bytes(), step, Reading::Strict), Ok((b"x".to_vec(), Some(None))));
            let longer = decode(input(LONGEST_LINE + 1).as_bytes(), step, Reading::Strict);
            assert_eq!(longer, Err(Malformed::TooLarge));
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let chunk = format!("1;{}\r\nx\r\n", "a".repeat(1000));
        assert_eq!(decode(chunk.repeat(20).as_bytes(), 999, Reading::Strict), Err(Malformed::TooLarge));
        assert_eq!(decode(&[b'1'; 5000], 999, Reading::Strict), Err(Malformed::TooLarge));
        assert_eq!(decode("0\r\na: b\r\n".repeat(2).as_bytes(), 99, Reading::Strict), Ok((Vec::new(), None)));
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(5));
        assert_eq!(decode(trailers.as_bytes(), 99, Reading::Strict), Err(Malformed::TooLarge));
    }

    proptest! {
        #[test]
        fn what_one_read_brings_many_do(input in "([0-3](;a)?\r\n[a-c]{0,3}\r\n){0,4}0\r\n(a:b\r\n)?\r\n", step in 1usize..9) {
            let whole = decode(input.as_bytes(), usize::MAX, Reading::Strict);
            prop_assert_eq!(decode(input.as_bytes(), step, Reading::Strict), whole);
        }
    }
}
