//! Any bytes as header blocks of HTTP/2: what a block has of pseudo-header fields, and what the dynamic table holds of it, does
//! not depend on how it arrives, and is what a decoder finds that keeps everything.

use std::collections::VecDeque;

use crate::protocol::http2::hpack::{STATIC, Skimmer, Unreadable};

/// Input: a byte that says how blocks are cut, and the blocks of a connection, each behind a byte with its length.
///
/// # Panics
/// Where the cut makes a difference, or where a decoder disagrees.
pub fn run(data: &[u8]) {
    let Some((&cut, mut rest)) = data.split_first() else { return };
    let (mut whole, mut single, mut pieces) = (Skimmer::new(), Skimmer::new(), Skimmer::new());
    let mut reference = Reference::new();
    while let Some((&length, after)) = rest.split_first() {
        let (block, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let found = read(&mut whole, [block]);
        assert_eq!(found, read(&mut single, block.chunks(1)), "byte by byte");
        assert_eq!(found, read(&mut pieces, block.chunks(usize::from(cut).max(1))), "in pieces");
        let decoded = reference.decode(block).map(|fields| fields.iter().any(|(name, _)| name.starts_with(b":")));
        assert_eq!(found, decoded.ok_or(Unreadable), "by a decoder");
        if found.is_err() {
            return;
        }
        assert!(whole.entries().eq(reference.entries()), "{whole:?} for {reference:?}");
        assert!(single.entries().eq(whole.entries()) && pieces.entries().eq(whole.entries()), "by the cut");
    }
}

/// Whether a block has pseudo-header fields.
fn read<'a>(skimmer: &mut Skimmer, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<bool, Unreadable> {
    pieces.into_iter().try_for_each(|piece| skimmer.feed(piece))?;
    skimmer.end()
}

/// A field, decoded. Of entries of the static table without the value.
type Field = (Vec<u8>, Vec<u8>);

/// Decodes blocks in the plainest way.
#[derive(Debug)]
pub(crate) struct Reference {
    table: VecDeque<Field>,
    limit: usize,
}

impl Reference {
    pub(crate) const fn new() -> Self {
        Self { table: VecDeque::new(), limit: 4096 }
    }

    fn entries(&self) -> impl Iterator<Item = (usize, bool)> {
        self.table.iter().map(|field| (size(field), field.0.starts_with(b":")))
    }

    /// The fields of a block; `None` where it is none.
    pub(crate) fn decode(&mut self, mut bytes: &[u8]) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        while let Some(first) = bytes.first().copied() {
            if first & 0x80 != 0 {
                fields.push(self.field(integer(&mut bytes, 7)?)?);
                continue;
            }
            if first & 0xe0 == 0x20 {
                self.limit = Some(integer(&mut bytes, 5)?).filter(|limit| *limit <= 4096)?;
                self.evict(0);
                continue;
            }
            let enters = first & 0x40 != 0;
            let name = match integer(&mut bytes, if enters { 6 } else { 4 })? {
                0 => string(&mut bytes, enters)?,
                index => self.field(index)?.0,
            };
            if name.is_empty() {
                return None;
            }
            let field = (name, string(&mut bytes, enters)?);
            if enters {
                self.evict(size(&field));
                if size(&field) <= self.limit {
                    self.table.push_front(field.clone());
                }
            }
            fields.push(field);
        }
        Some(fields)
    }

    fn field(&self, index: usize) -> Option<Field> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some(name) => Some((name.as_bytes().to_vec(), Vec::new())),
            None => self.table.get(index - STATIC.len()).cloned(),
        }
    }

    fn evict(&mut self, room: usize) {
        while self.table.iter().map(size).sum::<usize>() + room > self.limit && self.table.pop_back().is_some() {}
    }
}

fn size((name, value): &Field) -> usize {
    name.len() + value.len() + 32
}

fn integer(bytes: &mut &[u8], bits: u32) -> Option<usize> {
    let mask = (1 << bits) - 1;
    let mut value = usize::from(*bytes.split_off_first()?) & mask;
    if value < mask {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*bytes.split_off_first()?);
        value += (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A string. Of one in Huffman code that does not enter the table, it is enough whether it begins with a colon.
fn string(bytes: &mut &[u8], enters: bool) -> Option<Vec<u8>> {
    let huffman = bytes.first()? & 0x80 != 0;
    let length = integer(bytes, 7)?;
    let text = bytes.split_off(..length)?;
    match (huffman, enters) {
        (false, _) => Some(text.to_vec()),
        (true, true) => unpacked(text),
        (true, false) => Some(text.iter().take(1).map(|first| if first >> 1 == 0x5c { b':' } else { b'x' }).collect()),
    }
}

/// Bits of each symbol's code (RFC 7541 appendix B); the last one ends a string. Codes of one length are consecutive.
#[rustfmt::skip]
const BITS: [u32; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// Every code with its bits and what it stands for.
fn codes() -> Vec<(u32, u32, usize)> {
    let mut symbols: Vec<_> = (0..BITS.len()).collect();
    symbols.sort_by_key(|symbol| BITS[*symbol]);
    let (mut next, mut bits) = (0, 0);
    let code = |symbol: usize| {
        next <<= BITS[symbol] - bits;
        bits = BITS[symbol];
        next += 1;
        (next - 1, bits, symbol)
    };
    symbols.into_iter().map(code).collect()
}

fn unpacked(text: &[u8]) -> Option<Vec<u8>> {
    thread_local!(static CODES: std::collections::HashMap<(u32, u32), usize> =
        codes().into_iter().map(|(code, bits, symbol)| ((code, bits), symbol)).collect());
    let (mut code, mut bits, mut out) = (0, 0, Vec::new());
    for bit in text.iter().flat_map(|byte| (0..8).rev().map(move |place| u32::from(byte >> place & 1))) {
        (code, bits) = (code << 1 | bit, bits + 1);
        if let Some(symbol) = CODES.with(|codes| codes.get(&(code, bits)).copied()) {
            out.push(u8::try_from(symbol).ok()?);
            (code, bits) = (0, 0);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::rc::Rc;

    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::protocol::http2::frames::Frames;
    use crate::protocol::http2::trailers::{Malformed, Trailers};

    /// A field, and the bits by which it is decided how it is written.
    type Written = (&'static str, String, u8);

    /// Writes blocks in all the ways that there are.
    struct Encoder(Reference);

    impl Encoder {
        fn field(&mut self, (name, value, how): &Written) -> Vec<u8> {
            let mut out = Vec::new();
            let bit = |place: u8| how >> place & 1 == 1;
            let same = |field: &Field| field.0 == name.as_bytes();
            let dynamic = |found: Option<usize>| found.map(|place| place + 1 + STATIC.len());
            let whole = self.0.table.iter().position(|field| same(field) && field.1 == value.as_bytes());
            if let Some(index) = dynamic(whole).filter(|_| bit(0)) {
                put_integer(&mut out, 0x80, 7, index);
            } else {
                let (kind, bits) = [(0x40, 6), (0x00, 4), (0x40, 6), (0x10, 4)][usize::from(how >> 1 & 3)];
                let known = dynamic(self.0.table.iter().position(same)).filter(|_| bit(3));
                let known = known.or_else(|| STATIC.iter().position(|known| known == name).map(|place| place + 1));
                let index = known.filter(|_| bit(4)).unwrap_or(0);
                put_integer(&mut out, kind, bits, index);
                if index == 0 {
                    put_string(&mut out, name.as_bytes(), bit(5));
                }
                put_string(&mut out, value.as_bytes(), bit(6));
            }
            self.0.decode(&out).expect("a field");
            out
        }

        fn block(&mut self, sizes: &[usize], fields: &[Written]) -> Vec<u8> {
            let mut out = Vec::new();
            sizes.iter().for_each(|size| put_integer(&mut out, 0x20, 5, *size));
            self.0.decode(&out).expect("sizes");
            fields.iter().for_each(|field| out.extend(self.field(field)));
            out
        }
    }

    fn put_integer(out: &mut Vec<u8>, kind: u8, bits: u32, mut value: usize) {
        let mask = (1 << bits) - 1;
        if value < mask {
            return out.push(kind | value as u8);
        }
        out.push(kind | mask as u8);
        value -= mask;
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn put_string(out: &mut Vec<u8>, text: &[u8], huffman: bool) {
        if !huffman {
            put_integer(out, 0, 7, text.len());
            return out.extend_from_slice(text);
        }
        let codes: HashMap<usize, (u32, u32)> =
            codes().into_iter().map(|(code, bits, symbol)| (symbol, (code, bits))).collect();
        let mut all: Vec<u8> = Vec::new();
        for byte in text {
            let (code, bits) = codes[&usize::from(*byte)];
            all.extend((0..bits).rev().map(|place| (code >> place & 1) as u8));
        }
        all.resize(all.len().next_multiple_of(8), 1);
        put_integer(out, 0x80, 7, all.len() / 8);
        out.extend(all.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)));
    }

    /// A block in frames: with a priority, padded, and cut, as the bits say.
    fn frames(stream: u32, block: &[u8], ends: bool, how: u8) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |kind: u8, flags: u8, payload: &[u8]| {
            out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
            out.extend_from_slice(&[kind, flags]);
            out.extend_from_slice(&stream.to_be_bytes());
            out.extend_from_slice(payload);
        };
        let (first, rest) = if how & 1 == 1 { block.split_at(block.len() / 3) } else { (block, &[][..]) };
        let (mut payload, mut flags) = (Vec::new(), u8::from(ends) | if rest.is_empty() { 4 } else { 0 });
        let padding = if how & 2 == 2 { 7 } else { 0 };
        if padding > 0 {
            payload.push(padding);
            flags |= 8;
        }
        if how & 4 == 4 {
            payload.extend_from_slice(&[0, 0, 0, 0, 15]);
            flags |= 0x20;
        }
        payload.extend_from_slice(first);
        payload.resize(payload.len() + usize::from(padding), 0);
        put(1, flags, &payload);
        if !rest.is_empty() {
            let (middle, last) = rest.split_at(rest.len() / 2);
            put(9, 0, middle);
            put(9, 4, last);
        }
        out
    }

    /// What h2 makes of a connection: of each stream the names of its trailers, unless it has reset it.
    fn by_h2(bytes: Vec<u8>, expected: usize) -> Result<HashMap<u32, Option<Vec<String>>>, h2::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let (client, server) = tokio::io::duplex(1 << 20);
            let (mut replies, mut requests) = tokio::io::split(client);
            tokio::task::spawn_local(async move { tokio::io::copy(&mut replies, &mut tokio::io::sink()).await });
            let mut server = h2::server::handshake(server);
            requests.write_all(&bytes).await.unwrap();
            let mut server = std::pin::Pin::new(&mut server).await?;
            let mut read = Vec::new();
            while read.len() < expected
                && let Some(accepted) = server.accept().await
            {
                let (request, respond) = accepted?;
                read.push(tokio::task::spawn_local(async move {
                    let (id, mut body) = (respond.stream_id().as_u32(), request.into_body());
                    while let Some(Ok(_)) = body.data().await {}
                    let trailers = body.trailers().await.ok();
                    let names = |trailers: http::HeaderMap| trailers.keys().map(ToString::to_string).collect();
                    drop(respond);
                    (id, trailers.map(|trailers| trailers.map(names).unwrap_or_default()))
                }));
            }
            tokio::select! {
                read = futures_util::future::join_all(read) => Ok(read.into_iter().map(Result::unwrap).collect()),
                more = server.accept() => Err(more.expect("it goes on").expect_err("no more")),
            }
        })
    }

    fn field() -> impl Strategy<Value = Written> {
        let name = prop_oneof![
            Just("x-a"),
            Just("x-b"),
            Just("cookie"),
            Just("accept-language"),
            Just("a-longer-name-than-any-other")
        ];
        let value = prop_oneof!["[ -~]{0,9}", "[a-z0-9/]{0,80}", "[!-~]{900,1500}", "é{0,40}"];
        (name, value.prop_map(|value| value.trim().to_owned()), any::<u8>())
    }

    fn pseudo() -> impl Strategy<Value = Vec<Written>> {
        let field = prop_oneof![
            "/[a-z]{0,30}".prop_map(|value| (":path", value)),
            "[a-z]{1,9}".prop_map(|value| (":authority", value)),
            Just((":status", "200".to_owned())),
            Just((":method", "PUT".to_owned())),
        ];
        let field = (field, any::<u8>()).prop_map(|((name, value), how)| vec![(name, value, how)]);
        prop_oneof![3 => Just(Vec::new()), 1 => field]
    }

    /// Fields of a head, pseudo-header fields and others of trailers, sizes of the table before each, and how they are framed.
    type Exchange = (Vec<Written>, Vec<Written>, Vec<Written>, [Vec<usize>; 2], u8);

    fn exchange() -> impl Strategy<Value = Exchange> {
        let fields = || proptest::collection::vec(field(), 0..5);
        let sizes = || proptest::collection::vec(prop_oneof![0_usize..=200, Just(4096)], 0..2);
        (fields(), pseudo(), fields(), [sizes(), sizes()], any::<u8>())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// h2 reads the same connection, so what is found malformed is so by the table that h2 has.
        #[test]
        fn trailers_with_pseudo_header_fields_are_found_and_no_others(
            exchanges in proptest::collection::vec(exchange(), 1..12),
            cut in 1_usize..40,
        ) {
            let mut encoder = Encoder(Reference::new());
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
            let streams = (1_u32..).step_by(2);
            for ((head, pseudo, rest, sizes, how), stream) in exchanges.iter().zip(streams.clone()) {
                let text = |name, value: &str| (name, value.to_owned(), *how);
                let mut all = vec![text(":method", "POST"), text(":scheme", "http"), text(":path", "/")];
                all.extend_from_slice(head);
                bytes.extend(frames(stream, &encoder.block(&sizes[0], &all), false, *how));
                let trailers = encoder.block(&sizes[1], &[pseudo.as_slice(), rest].concat());
                bytes.extend(frames(stream, &trailers, true, how >> 3));
            }
            let malformed = Rc::new(Malformed::default());
            let (mut reader, mut trailers) = (Frames::new(), Trailers::new(malformed.clone()));
            bytes.chunks(cut).for_each(|part| reader.feed(part, |seen| trailers.see(seen)));
            prop_assert!(!malformed.is_unreadable());
            prop_assert!(trailers.skimmer().entries().eq(encoder.0.entries()), "the table that h2 has, as it reads all of it");
            let read = by_h2(bytes, exchanges.len()).expect("valid but for pseudo-header fields");
            for ((_, pseudo, rest, ..), stream) in exchanges.iter().zip(streams) {
                prop_assert_eq!(malformed.take(stream), !pseudo.is_empty(), "stream {}", stream);
                let names: std::collections::HashSet<_> = rest.iter().map(|field| field.0.to_owned()).collect();
                let of_h2 = read[&stream].clone().map(|names| names.into_iter().collect());
                prop_assert_eq!(of_h2, Some(names), "what h2 has of them");
            }
        }
    }

    #[test]
    fn a_block_of_the_rfc() {
        // RFC 7541 appendix C.4.1: `:authority: www.example.com` in Huffman code enters the table.
        let mut skimmer = Skimmer::new();
        let block = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(read(&mut skimmer, [&block[..]]), Ok(true));
        assert!(skimmer.entries().eq([(57, true)]));
        // C.6.1: a response, whose `location` is the last to enter.
        let mut skimmer = Skimmer::new();
        let block =
            b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\
            \x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff\x6e\x91\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\
            \xae\x43\xd3";
        assert_eq!(read(&mut skimmer, [&block[..]]), Ok(true));
        assert!(skimmer.entries().eq([(63, false), (65, false), (52, false), (42, true)]));
    }
}
