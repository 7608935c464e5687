//! Any content, in any coding and in any pieces.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { size: None, ratio: RATIO };

fn encoded(coding: Coding, pieces: &[&[u8]]) -> Vec<u8> {
    let mut encoder = Encoder::new(coding).unwrap();
    let mut all = Vec::new();
    for piece in pieces {
        encoder.write(piece).unwrap();
        encoder.flush().unwrap();
        all.append(&mut encoder.take());
    }
    all.append(&mut encoder.finish().unwrap());
    all
}

fn decoded<'a>(
    codings: &Codings,
    bounds: Bounds,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, Fault> {
    let mut decoder = Decoder::new(codings, bounds)?;
    let mut all = Vec::new();
    for piece in pieces {
        decoder.decode(piece, &mut all)?;
    }
    decoder.finish()?;
    Ok(all)
}

fn whole(coding: Coding, content: &[u8]) -> Result<Vec<u8>, Fault> {
    decoded(&Codings::of([coding]), BOUNDS, [content])
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

#[test]
fn an_event_that_its_sender_has_flushed_is_there_before_the_next_one_comes() {
    for coding in Coding::ALL {
        let (mut encoder, mut decoder) =
            (Encoder::new(coding).unwrap(), Decoder::new(&Codings::of([coding]), BOUNDS).unwrap());
        for number in 0..50 {
            let event = format!("data: {{\"number\":{number}}}\n\n");
            encoder.write(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            let mut seen = Vec::new();
            decoder.decode(&encoder.take(), &mut seen).unwrap();
            assert_eq!(String::from_utf8_lossy(&seen), event, "{coding:?}");
        }
        decoder.decode(&encoder.finish().unwrap(), &mut Vec::new()).unwrap();
        assert_eq!(decoder.finish(), Ok(()), "{coding:?}");
    }
}

#[test]
fn a_content_that_fills_steps_is_the_same_behind_each_coding() {
    for length in [0, 1, STEP - 1, STEP, STEP + 1, 3 * STEP, 10 * STEP + 7] {
        for content in [noise(length), b"a word and ".repeat(length / 11)] {
            for coding in Coding::ALL {
                assert_eq!(whole(coding, &encoded(coding, &[&content])).as_ref(), Ok(&content), "{coding:?} {length}");
            }
        }
    }
}

#[test]
fn several_members_are_one_content_and_nothing_else_may_follow() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let (one, two) = (encoded(coding, &[b"one "]), encoded(coding, &[b"two"]));
        let both = [one.as_slice(), &encoded(coding, &[]), &two].concat();
        assert_eq!(whole(coding, &both).unwrap(), b"one two", "{coding:?}");
        for cut in 0..=both.len() {
            let pieces = [&both[..cut], &both[cut..]];
            assert_eq!(decoded(&Codings::of([coding]), BOUNDS, pieces).unwrap(), b"one two", "{coding:?} {cut}");
        }
    }
    for coding in Coding::ALL {
        let mut more = encoded(coding, &[b"content"]);
        more.extend_from_slice(b"GARBAGE");
        assert_eq!(whole(coding, &more), Err(Fault::Trailing), "{coding:?}");
    }
    let padded = [encoded(Coding::Gzip, &[b"content"]), vec![0; 8]].concat();
    assert_eq!(whole(Coding::Gzip, &padded), Err(Fault::Trailing));
}

#[test]
fn nothing_is_empty_whatever_is_said_of_it_and_a_part_is_too_little() {
    for coding in Coding::ALL {
        assert_eq!(whole(coding, b""), Ok(Vec::new()), "{coding:?}");
        let content = encoded(coding, &[b"some content that is long enough to be cut anywhere"]);
        for cut in 1..content.len() {
            assert_eq!(
                whole(coding, &content[..cut]),
                Err(Fault::Truncated),
                "{coding:?} at {cut} of {}",
                content.len()
            );
        }
    }
}

#[test]
fn deflate_is_read_with_the_header_of_zlib_and_without() {
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    raw.write_all(b"as some servers send it").unwrap();
    let raw = raw.finish().unwrap();
    for pieces in [vec![&raw[..]], raw.chunks(1).collect()] {
        assert_eq!(decoded(&Codings::of([Coding::Deflate]), BOUNDS, pieces).unwrap(), b"as some servers send it");
    }
    assert_eq!(whole(Coding::Deflate, &[3, 0]), Ok(Vec::new()), "the shortest there is");
}

#[test]
fn codings_come_off_in_the_order_in_which_they_were_put_on() {
    let content = b"text, text, text".repeat(5000);
    let inner = encoded(Coding::Gzip, &[&content]);
    let outer = encoded(Coding::Br, &[&encoded(Coding::Zstd, &[&inner])]);
    let codings = Codings::of([Coding::Br, Coding::Zstd, Coding::Gzip]);
    assert_eq!(decoded(&codings, BOUNDS, [&outer[..]]).as_deref(), Ok(&content[..]));
    assert_eq!(decoded(&codings, BOUNDS, outer.chunks(1)).as_deref(), Ok(&content[..]));
    for cut in 1..outer.len() {
        assert!(decoded(&codings, BOUNDS, [&outer[..cut]]).is_err(), "{cut}");
    }
    let within = encoded(Coding::Br, &[&inner[..inner.len() - 1]]);
    let codings = Codings::of([Coding::Br, Coding::Gzip]);
    assert_eq!(decoded(&codings, BOUNDS, [&within[..]]), Err(Fault::Truncated), "the inner one is cut");
}

/// Peak memory, and that it ends early, of content that becomes a thousand times as much.
#[test]
fn a_bomb_is_told_by_what_it_makes_of_what_came_and_takes_no_memory() {
    let zeroes = vec![0; 64 << 20];
    for coding in Coding::ALL {
        let bomb = encoded(coding, &[&zeroes]);
        let codings = Codings::of([coding]);
        let mut decoder = Decoder::new(&codings, BOUNDS).unwrap();
        let (mut input, mut made) = (&bomb[..], 0);
        let fault = loop {
            match decoder.step(input) {
                Ok(step) => {
                    assert!(step.made.len() <= STEP && step.moved);
                    made += step.made.len() as u64;
                    input = &input[step.used..];
                }
                Err(fault) => break fault,
            }
            assert!(decoder.memory() < 9 << 20, "{coding:?}: {}", decoder.memory());
        };
        assert_eq!(fault, Fault::Bomb, "{coding:?}");
        assert!(made <= FLOOR.max(bomb.len() as u64 * u64::from(RATIO)), "{coding:?}: {made}");
        let twice = Codings::of([Coding::Gzip, coding]);
        assert_eq!(decoded(&twice, BOUNDS, [&encoded(Coding::Gzip, &[&bomb])[..]]), Err(Fault::Bomb), "{coding:?}");
        let size = Bounds { size: Some(1000), ratio: RATIO };
        assert_eq!(decoded(&codings, size, [&bomb[..]]), Err(Fault::TooLarge), "{coding:?}");
        let exactly = encoded(coding, &[&[0; 1000]]);
        assert_eq!(decoded(&codings, size, [&exactly[..]]).map(|all| all.len()), Ok(1000), "{coding:?}");
    }
}

#[test]
fn what_repeats_itself_and_is_short_is_no_bomb() {
    let spaces = vec![b' '; 1 << 20];
    for coding in Coding::ALL {
        assert_eq!(whole(coding, &encoded(coding, &[&spaces])).map(|all| all.len()), Ok(1 << 20), "{coding:?}");
    }
}

#[test]
fn a_window_that_nobody_may_ask_for_is_not_given() {
    // Windows of 16 MiB: a frame of zstd (RFC 8878 section 3.1.1.1.2), and a large window of brotli (RFC 9841).
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 1, 0, 0];
    assert_eq!(whole(Coding::Zstd, &frame), Err(Fault::Malformed));
    let allowed = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3, 1, 0, 0];
    assert_eq!(whole(Coding::Zstd, &allowed), Ok(Vec::new()));
    assert_eq!(whole(Coding::Br, &[0x11, 0x1e, 0x03, 0x03]), Err(Fault::Malformed));
}

fn chunked(text: &str) -> Result<Vec<u8>, Fault> {
    let codings = Codings { in_chunks: true, ..Codings::default() };
    let at_once = decoded(&codings, BOUNDS, [text.as_bytes()]);
    assert_eq!(decoded(&codings, BOUNDS, text.as_bytes().chunks(1)), at_once);
    at_once
}

#[test]
fn the_payload_comes_out_of_the_chunks_of_aws() {
    assert_eq!(chunked("5\r\nhello\r\n1\r\n \r\n0\r\n\r\n").unwrap(), b"hello ");
    assert_eq!(chunked("0\r\n\r\n").unwrap(), b"");
    let trailer = "A\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    assert_eq!(chunked(trailer).unwrap(), b"0123456789");
    let signed = "5;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\nhello\r\n";
    assert_eq!(chunked(signed), Err(Fault::Signed));
    assert_eq!(chunked("0\r\nx-amz-trailer-signature:ab\r\n\r\n"), Err(Fault::Signed));
    for malformed in ["x\r\n", "5\nhello", "5\r\nhello5\r\n", "\r\n", "1000000000000000\r\n", "0\r\nno field\r\n"] {
        assert_eq!(chunked(malformed), Err(Fault::Malformed), "{malformed:?}");
    }
    assert_eq!(chunked(&"0".repeat(5000)), Err(Fault::Malformed));
    assert_eq!(chunked("5\r\nhello\r\n0\r\n"), Err(Fault::Truncated));
    assert_eq!(chunked("0\r\n\r\nmore"), Err(Fault::Trailing));
    let codings = Codings { in_chunks: true, ..Codings::of([Coding::Gzip]) };
    let inner = encoded(Coding::Gzip, &[b"hello"]);
    let framed = [format!("{:x}\r\n", inner.len()).as_bytes(), &inner, b"\r\n0\r\n\r\n"].concat();
    assert_eq!(decoded(&codings, BOUNDS, [&framed[..]]).unwrap(), b"hello");
}

#[test]
fn what_told_of_the_chunks_of_aws_goes_with_them() {
    let chunks = Codings { in_chunks: true, ..Codings::default() };
    let along = ["content-encoding", "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-checksum-crc64nvme"];
    assert!(along.iter().all(|name| chunks.take_along(name)));
    assert!(!chunks.take_along("x-amz-content-sha256") && !chunks.take_along("x-amz-meta-a"));
    assert!(along.iter().filter(|name| Codings::of([Coding::Gzip]).take_along(name)).eq(&along[..1]));
    assert_eq!(of_the_payload(b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"), Some("UNSIGNED-PAYLOAD"));
    assert_eq!(of_the_payload(b"UNSIGNED-PAYLOAD"), None);
}

fn any_coding() -> impl Strategy<Value = Coding> {
    prop::sample::select(Coding::ALL.to_vec())
}

fn any_content() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..5000);
    let words =
        prop::collection::vec(prop::sample::select(vec!["a", "word", "{\"x\":", "\n\n", "0000000000"]), 0..3000);
    prop_oneof![noise, words.prop_map(|words| words.concat().into_bytes())]
}

fn cut<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for size in sizes.iter().cycle().take(bytes.len()) {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

proptest! {
    #[test]
    fn what_was_put_on_comes_off(
        content in any_content(),
        codings in prop::collection::vec(any_coding(), 1..=MAX_CODINGS),
        written in prop::collection::vec(200_usize..2000, 1..5),
        read in prop::collection::vec(1_usize..900, 1..5),
    ) {
        let mut all = content.clone();
        for coding in codings.iter().rev() {
            all = encoded(*coding, &cut(&all, &written));
        }
        let bounds = Bounds { size: Some(content.len() as u64), ratio: RATIO };
        // Around content that was cut small there is more than the innermost has.
        let bounds = if codings.len() == 1 { bounds } else { BOUNDS };
        prop_assert_eq!(decoded(&Codings::of(codings), bounds, cut(&all, &read)), Ok(content));
    }

    #[test]
    fn hostile_bytes_do_no_harm_and_mean_the_same_in_any_pieces(
        coding in any_coding(),
        content in any_content(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sizes in prop::collection::vec(1_usize..300, 1..5),
    ) {
        let mut bytes = encoded(coding, &[&content]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let codings = Codings::of([coding]);
        let size = Bounds { size: Some(1 << 20), ratio: RATIO };
        let at_once = decoded(&codings, size, [&bytes[..]]);
        let in_pieces = decoded(&codings, size, cut(&bytes, &sizes));
        prop_assert_eq!(at_once.is_ok(), in_pieces.is_ok(), "{:?} {:?}", at_once, in_pieces);
        if let (Ok(at_once), Ok(in_pieces)) = (at_once, in_pieces) {
            prop_assert_eq!(at_once, in_pieces);
        }
    }

    #[test]
    fn noise_is_an_error_or_something(coding in any_coding(), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let size = Bounds { size: Some(1 << 16), ratio: RATIO };
        if let Ok(all) = decoded(&Codings::of([coding]), size, [&bytes[..]]) {
            prop_assert!(all.len() <= 1 << 16);
        }
    }
}
