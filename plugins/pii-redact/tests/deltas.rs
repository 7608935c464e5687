//! Streams of events against the whole texts that they carry.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use pii_redact::content::Format;
use pii_redact::deltas::{Deltas, MOST_EVENT};
use pii_redact::rules::Rules;
use pii_redact::scanner::{Outcome, Scanner};
use proptest::prelude::*;
use support::streams::{DIALECTS, Dialect, events};

/// What may wait of a text that is no longer than a value.
const STATE: usize = 48 << 10;

fn rules() -> Rules {
    support::rules(&serde_json::json!({
        "categories": {"email": {"action": "hash", "secret": "s"}},
        "fields": ["secret"],
        "streams": {"paths": ["rows[].value.note"]},
    }))
}

struct Reader {
    deltas: Deltas,
    rules: Rules,
    out: Vec<u8>,
    counts: u32,
}

impl Reader {
    fn new(format: Format) -> Self {
        Self { deltas: Deltas::new(format, false), rules: rules(), out: Vec::new(), counts: 0 }
    }

    fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    /// Pushes a chunk as the host does, with the state as bytes between calls, and returns what goes out.
    fn push(&mut self, chunk: &str, last: bool) -> String {
        self.push_bytes(chunk.as_bytes(), last)
    }

    fn push_bytes(&mut self, chunk: &[u8], last: bool) -> String {
        let mut out = Vec::new();
        if self.deltas.push(&self.rules, &support::pseudonym, chunk, last, &mut out).unwrap() == Outcome::Unchanged {
            assert!(out.is_empty());
            out.extend_from_slice(chunk);
        }
        self.counts += self.deltas.take_counts().iter().sum::<u32>();
        let state = postcard::to_allocvec(&self.deltas).unwrap();
        assert!(state.len() < STATE, "{} bytes of state", state.len());
        self.deltas = postcard::from_bytes(&state).unwrap();
        self.out.extend_from_slice(&out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// What comes out of a stream that comes in pieces.
fn read(format: Format, pieces: &[&[u8]]) -> String {
    let mut reader = Reader::new(format);
    for (index, piece) in pieces.iter().enumerate() {
        reader.push_bytes(piece, index + 1 == pieces.len());
    }
    assert_eq!(reader.deltas.held(), 0);
    String::from_utf8(reader.out).unwrap()
}

/// What the scanner makes of a whole text, and how many values it finds.
fn whole(text: &str) -> (String, u32) {
    let format = if text.trim_start().starts_with(['{', '[']) { Format::Json } else { Format::Text };
    let mut scanner = Scanner::new(format);
    let mut out = Vec::new();
    if scanner.push(&rules(), &support::pseudonym, text.as_bytes(), true, &mut out).unwrap() == Outcome::Unchanged {
        out.extend_from_slice(text.as_bytes());
    }
    (String::from_utf8(out).unwrap(), scanner.take_counts().iter().sum())
}

/// The events of a stream in which several texts go on, parted as the sizes say, and cut to as many as may be at once.
fn stream(dialect: Dialect, texts: &[String], sizes: &[usize], ends: bool) -> Vec<String> {
    let mut rests: Vec<Vec<char>> = texts.iter().map(|text| text.chars().collect()).collect();
    let mut sizes = sizes.iter().cycle();
    let mut all = Vec::new();
    while rests.iter().any(|rest| !rest.is_empty()) {
        for (index, rest) in rests.iter_mut().enumerate().filter(|(_, rest)| !rest.is_empty()) {
            let size = *sizes.next().unwrap();
            if size == 0 {
                all.push(dialect.between());
            }
            let piece: String = rest.drain(..size.min(rest.len())).collect();
            all.push(dialect.piece(index, &piece));
        }
    }
    if ends {
        all.extend((0..texts.len()).map(|index| dialect.end(index)).filter(|end| !end.is_empty()));
        all.push(dialect.last().to_owned());
    }
    if let (Dialect::GeminiArray, Some(first)) = (dialect, all.first_mut()) {
        *first = first.replacen(",\n", "[", 1);
    }
    all
}

fn fragment() -> impl Strategy<Value = String> {
    let values = [
        "kari@example.no",
        "+47 987 65 432",
        "tlf 98 76 54 32",
        "4111 1111 1111 1111",
        "NO93 8601 1117 947",
        "02013299997",
        "020132 99903",
        "1234.56.78903",
        "ola.nordmann@example.no",
        "131052-308T",
        "12018412345",
        "AKIAIOSFODNN7EXAMPLE",
        "https://u:hemmelig1@example.no/",
        "kari\\u0040example.no",
        "-----BEGIN PRIVATE KEY-----\nMII\n",
        "98765432",
        "12.50 kr",
        "\"secret\": \"x\", ",
        "😀",
        "blåbær ",
        "\n",
        " ",
        ", ",
        "og ",
        "{",
        "}",
        "\"",
    ];
    prop_oneof![4 => prop::sample::select(values.to_vec()).prop_map(str::to_owned), 1 => "[ -~æøå]{0,6}"]
}

fn document(fragments: &[String]) -> String {
    serde_json::json!({"note": fragments.concat(), "fnr": 2_013_299_997_u64, "secret": [1], "list": fragments})
        .to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn parted_texts_read_as_whole_ones(
        fragments in prop::collection::vec(prop::collection::vec(fragment(), 0..8), 3),
        sizes in prop::sample::select(vec![vec![1], vec![2], vec![3, 4], vec![0, 1, 5, 2], vec![7, 1, 12], vec![40]]),
        dialect in prop::sample::select(DIALECTS.to_vec()),
        ends in any::<bool>(),
        cut in 1..200_usize,
    ) {
        let texts: Vec<String> = fragments[..dialect.texts()].iter()
            .map(|fragments| if dialect.is_json() { document(fragments) } else { fragments.concat() })
            .collect();
        let events = stream(dialect, &texts, &sizes, ends);
        let input = events.concat();
        let out = read(dialect.format(), &[input.as_bytes()]);
        let mut expected: Vec<String> = texts.iter().map(|text| whole(text).0).collect();
        expected.resize(3, String::new());
        prop_assert_eq!(dialect.joined(&out), expected);
        for text in dialect.joined(&out).iter().filter(|_| dialect.is_json()) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{}", text);
        }
        let pieces: Vec<&[u8]> = input.as_bytes().chunks(cut).collect();
        prop_assert_eq!(&read(dialect.format(), &[&pieces[..], &[&b""[..]]].concat()), &out);
        let mut reader = Reader::new(dialect.format());
        events.iter().for_each(|event| { reader.push(event, false); });
        reader.push("", true);
        prop_assert_eq!(reader.counts, texts.iter().map(|text| whole(text).1).sum::<u32>());
    }

    #[test]
    fn any_bytes_are_read_alike_in_any_pieces(
        fragments in prop::collection::vec(prop_oneof![
            fragment(),
            prop::sample::select(DIALECTS.to_vec()).prop_map(|dialect| dialect.piece(0, "kari@exam")),
            prop::sample::select(DIALECTS.to_vec()).prop_map(|dialect| dialect.piece(0, "ple.no og ")),
            prop::sample::select(DIALECTS.to_vec()).prop_map(|dialect| dialect.end(0)),
            prop::sample::select(vec!["\n", "\r", "\r\n\r\n", "data: ", "{\"delta\":\"a", "[{\"candidates\":", "\\", "\\u00", "[DONE]", "id: 4\n", "\u{feff}"])
                .prop_map(str::to_owned),
        ], 0..12),
        cut in 1..40_usize,
        format in prop::sample::select(vec![Format::Events, Format::JsonLines, Format::Json]),
    ) {
        let input = fragments.concat();
        let out = read(format, &[input.as_bytes()]);
        let pieces: Vec<&[u8]> = input.as_bytes().chunks(cut).collect();
        prop_assert_eq!(read(format, &[&pieces[..], &[&b""[..]]].concat()), out.clone());
        let pieces: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        prop_assert_eq!(read(format, &[&pieces[..], &[&b""[..]]].concat()), out);
    }
}

#[test]
fn no_value_leaks_at_any_split_of_any_dialect() {
    let text = "Kari bor her: kari.nordmann@example.no, fnr 02013299997, tlf 98 76 54 32, kort 4111 1111 1111 1111.";
    let secrets = ["kari.nordmann", "02013299997", "98 76 54 32", "4111 1111"];
    for dialect in DIALECTS {
        for size in 1..text.len() {
            let out = read(dialect.format(), &[stream(dialect, &[text.to_owned()], &[size], true).concat().as_bytes()]);
            let joined = &dialect.joined(&out)[0];
            assert_eq!(joined, &whole(text).0, "{dialect:?} by {size}");
            assert!(secrets.iter().all(|secret| !joined.contains(secret)), "{joined}");
        }
    }
}

/// An upstream may send an event only after the client has the last: each goes out in the call that brings its end.
#[test]
fn no_event_waits_for_another() {
    let text = "skriv til kari@example.no eller ring 98 76 54 32 i dag ";
    for dialect in DIALECTS {
        let mut reader = Reader::new(dialect.format());
        let all =
            stream(dialect, &[text.to_owned(), text.to_owned(), text.to_owned()][..dialect.texts()], &[3, 0, 5], true);
        for event in &all {
            let (start, end) = event.split_at(event.len().saturating_sub(1));
            let early = reader.push(start, false);
            let out = early + &reader.push(end, false);
            let (sent, came) = (events(dialect.format(), &out), events(dialect.format(), event));
            // What is left of a text may come before the event that ends it.
            assert!(sent.len() >= came.len(), "{dialect:?}: {event:?} became {out:?}");
            if let (Some(sent), Some(came)) = (sent.last(), came.last()) {
                let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
                assert_eq!(names(sent), names(came), "{dialect:?}");
            }
            assert!(
                out.contains("[DONE]") == event.contains("[DONE]")
                    && out.contains(": keep-alive") == event.contains(": keep-alive")
            );
        }
        reader.push("", true);
        assert_eq!(dialect.joined(&reader.text())[0], whole(text).0);
    }
}

#[test]
fn a_stream_without_values_stays_as_it_is_but_for_where_words_are_parted() {
    let text = "Hei. Det er 12 egg. ";
    for dialect in DIALECTS {
        let events = stream(dialect, &[text.to_owned()], &[text.len()], true);
        assert_eq!(read(dialect.format(), &[events.concat().as_bytes()]), events.concat(), "{dialect:?}");
    }
    let mut reader = Reader::new(Format::Events);
    let event = Dialect::Chat.piece(0, "Hei. ");
    let mut out = Vec::new();
    let outcome = reader.deltas.push(&reader.rules, &support::pseudonym, event.as_bytes(), false, &mut out);
    assert_eq!((outcome, out.len()), (Ok(Outcome::Unchanged), 0));
}

#[test]
fn what_repeats_the_text_is_left_out_where_the_text_changed() {
    let event = |piece: &str| {
        let logprobs = serde_json::json!({"content": [{"token": piece, "bytes": piece.as_bytes(), "logprob": -0.1}]});
        let choice =
            serde_json::json!({"index": 0, "logprobs": logprobs, "delta": {"content": piece}, "finish_reason": null});
        format!("data: {}\n\n", serde_json::json!({"choices": [choice]}))
    };
    let mut reader = Reader::new(Format::Events);
    assert_eq!(reader.push(&event("Hei. "), false), event("Hei. "));
    let out = reader.push(&event("kari@exam"), false);
    assert!(out.contains(r#""logprobs":null"#) && !out.contains("kari") && !out.contains("107"), "{out}");
    let out = reader.push(&event("ple.no. "), false);
    assert!(out.contains(r#""logprobs":null"#) && !out.contains("ple"), "{out}");
    assert_eq!(reader.push(&event(" Ja. "), false), event(" Ja. "));
    let mut reader = Reader::new(Format::JsonLines);
    reader.push(&Dialect::Generate.piece(0, "kari@example.no. "), false);
    assert!(reader.push(&Dialect::Generate.end(0), false).contains(r#""context":[]"#));
}

#[test]
fn an_event_may_have_its_data_in_several_lines_and_its_names_in_escapes() {
    let mut reader = Reader::new(Format::Events);
    let event = |piece: &str| {
        format!(
            "id: 1\r\ndata: {{\"choices\": [\r\n: note\r\ndata:{{\"delta\": {{\"cont\\u0065nt\": \"{piece}\"}}}}\r\ndata: ]}}\r\n\r\n"
        )
    };
    let out = reader.push(&event("til kari@exa"), false) + &reader.push(&event("mple.no og "), false);
    assert_eq!(out, event("til ") + &event(&whole("kari@example.no og ").0));
}

#[test]
fn a_finish_reason_in_every_event_ends_nothing_but_the_first() {
    let event = |piece: &str| {
        format!(
            "data: {}\n\n",
            serde_json::json!({"candidates": [{"content": {"parts": [{"text": piece}]}, "finishReason": "STOP"}]})
        )
    };
    let mut reader = Reader::new(Format::Events);
    for piece in ["Hei ", "02013", "2999", "97 "] {
        reader.push(&event(piece), false);
    }
    reader.push("", true);
    assert_eq!(Dialect::Gemini.joined(&reader.text())[0], "Hei *** ");
}

#[test]
fn large_events_are_read_as_they_come() {
    let filler = "Lorem ipsum dolor sit amet. ".repeat(2 * MOST_EVENT / 28);
    for dialect in [Dialect::Chat, Dialect::Generate, Dialect::ToolInput, Dialect::Responses] {
        let text = format!("Til kari@example.no, {filler} \"\\\n😀 ring 98 76 54 32, {filler} fnr 02013299997");
        let text = if dialect.is_json() { serde_json::json!({"a": text}).to_string() } else { text };
        let cut: Vec<char> = text.chars().collect();
        for (first, second) in [(9, 2), (40_000, 4), (text.chars().count() - 5, 3), (cut.len(), 0)] {
            let pieces =
                [&cut[..first], &cut[first..(first + second).min(cut.len())], &cut[(first + second).min(cut.len())..]];
            let events: String =
                pieces.iter().map(|piece| dialect.piece(0, &piece.iter().collect::<String>())).collect();
            let events = events + &dialect.end(0);
            let out = read(dialect.format(), &[events.as_bytes()]);
            let (joined, expected) = (dialect.joined(&out)[0].clone(), whole(&text).0);
            let differs = joined.bytes().zip(expected.bytes()).position(|(a, b)| a != b);
            let near = |text: &str, at: usize| {
                String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(40)..(at + 40).min(text.len())]).into_owned()
            };
            let differ = differs.map(|at| (near(&joined, at), near(&expected, at)));
            assert_eq!((differ, joined.len()), (None, expected.len()), "{dialect:?} at {first}");
            let pieces: Vec<&[u8]> = events.as_bytes().chunks(1_009).collect();
            assert_eq!(read(dialect.format(), &pieces), out, "{dialect:?} at {first}");
        }
    }
}

#[test]
fn more_texts_than_can_be_kept_leak_nothing() {
    let mut reader = Reader::new(Format::Events);
    for piece in ["tlf 98 76", " 54 32 "] {
        for text in 0..400 {
            reader.push(&Dialect::Chat.piece(text, piece), false);
        }
    }
    reader.push("", true);
    let mut texts = vec![String::new(); 400];
    for event in events(Format::Events, &reader.text()) {
        let choice = &event["choices"][0];
        texts[choice["index"].as_u64().unwrap() as usize].push_str(choice["delta"]["content"].as_str().unwrap());
    }
    assert!(texts[..10].iter().all(|text| text == "tlf *** "), "{:?}", &texts[..10]);
    assert!(texts.iter().all(|text| !text.contains("98") && !text.contains("54 32")), "{texts:?}");
}

#[test]
fn what_could_wait_longest_stays_within_the_bound() {
    let mut reader = Reader::new(Format::Events);
    let long = "\\u0061".repeat(500);
    for _ in 0..3 {
        for text in 0..60 {
            reader.push(&Dialect::Chat.piece(text, &long), false);
        }
    }
    reader.push(&format!("data: {}", "x".repeat(MOST_EVENT - 7)), false);
    reader.push("", true);
}

#[test]
fn a_value_that_blocks_ends_the_stream_wherever_it_is_parted() {
    let rules = support::rules(&serde_json::json!({"categories": {"fodselsnummer": "block"}}));
    for dialect in DIALECTS.into_iter().filter(|dialect| *dialect != Dialect::Own) {
        let mut deltas = Deltas::new(dialect.format(), false);
        let mut out = Vec::new();
        let mut push = |piece: &str| deltas.push(&rules, &support::pseudonym, piece.as_bytes(), false, &mut out);
        let events = stream(dialect, &["fnr 02013299997. ".to_owned()], &[10], true);
        assert!(push(&events[0]).is_ok(), "{dialect:?}");
        assert_eq!(push(&events[1]).unwrap_err().category, "fodselsnummer", "{dialect:?}");
    }
}

#[test]
fn events_without_known_texts_read_as_ever() {
    let read_here =
        |vector: &support::Vector| matches!(Format::of(&vector.content_type), Some(format) if Deltas::reads(format));
    for vector in support::vectors().into_iter().filter(read_here) {
        let format = Format::of(&vector.content_type).unwrap();
        let rules = support::rules(&vector.config);
        let input = vector.input.as_bytes();
        for cut in 0..=input.len() {
            let mut deltas = Deltas::new(format, false);
            let mut out = Vec::new();
            let mut blocked = None;
            for (piece, last) in [(&input[..cut], false), (&input[cut..], true)] {
                match deltas.push(&rules, &support::pseudonym, piece, last, &mut out) {
                    Ok(Outcome::Unchanged) => out.extend_from_slice(piece),
                    Ok(Outcome::Rewritten) => {}
                    Err(found) => blocked = blocked.or(Some(format!("blocked: {}", found.category))),
                }
            }
            let out = blocked.unwrap_or_else(|| String::from_utf8(out).unwrap());
            assert_eq!(out, vector.output, "{} cut at {cut}", vector.name);
        }
    }
}
