//! The scanner against `vectors.json`, whole and cut at every offset, and against generated input.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pii_redact::content::Format;
use pii_redact::rules::Rules;
use pii_redact::scanner::{MOST_HELD, Scanner};
use proptest::prelude::*;

/// The host keeps 64 KiB of a stream's state.
const MOST_KEPT: usize = 48 << 10;

const FORMATS: [Format; 6] =
    [Format::Text, Format::Json, Format::JsonLines, Format::Form, Format::Events, Format::Unlabelled];

mod support;
use support::{Vector, rules, settings, vectors};

/// Feeds the pieces and returns the output; asserts the bound on what waits.
fn scan(rules: &Rules, format: Format, pieces: &[&[u8]]) -> Vec<u8> {
    let mut scanner = Scanner::new(format);
    let mut out = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let mut written = Vec::new();
        match scanner.push(rules, &support::pseudonym, piece, index + 1 == pieces.len(), &mut written) {
            Ok(pii_redact::scanner::Outcome::Unchanged) => {
                assert!(written.is_empty());
                out.extend_from_slice(piece);
            }
            Ok(pii_redact::scanner::Outcome::Rewritten) => out.extend_from_slice(&written),
            Err(blocked) => return format!("blocked: {}", blocked.category).into_bytes(),
        }
        assert!(scanner.held() <= MOST_HELD);
        // As the host keeps it between two chunks.
        let kept = postcard::to_allocvec(&scanner).unwrap();
        assert!(kept.len() < MOST_KEPT, "{} bytes are kept", kept.len());
        scanner = postcard::from_bytes(&kept).unwrap();
    }
    assert_eq!(scanner.held(), 0);
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What comes of a vector's input in these pieces.
fn read<'a>(vector: &Vector, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    text(&support::read(&settings(&vector.config), &vector.content_type, pieces).0)
}

#[test]
fn vectors_as_a_whole() {
    for vector in vectors() {
        assert_eq!(read(&vector, [vector.input.as_bytes()]), vector.output, "{}", vector.name);
    }
}

#[test]
fn vectors_cut_at_every_offset() {
    for vector in vectors() {
        let input = vector.input.as_bytes();
        for cut in 0..=input.len() {
            let (start, end) = input.split_at(cut);
            assert_eq!(read(&vector, [start, end]), vector.output, "{} cut at {cut}", vector.name);
            let out = read(&vector, [start, b"", end, b""]);
            assert_eq!(out, vector.output, "{} cut at {cut}, with empty chunks", vector.name);
        }
    }
}

#[test]
fn vectors_byte_by_byte() {
    for vector in vectors() {
        assert_eq!(read(&vector, vector.input.as_bytes().chunks(1)), vector.output, "{}", vector.name);
    }
}

#[test]
fn json_stays_json() {
    for vector in vectors().into_iter().filter(|vector| vector.content_type == "application/json") {
        if serde_json::from_str::<serde_json::Value>(&vector.input).is_ok() && !vector.output.starts_with("blocked") {
            serde_json::from_str::<serde_json::Value>(&vector.output)
                .unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        }
    }
}

#[test]
fn no_event_is_held_past_its_blank_line() {
    let rules = rules(&serde_json::json!({}));
    for event in [
        "data: skriv til kari@example.no\n\n",
        "data: kari@example\r\n\r\n",
        "data: {\"phone\": 98765432\n\n",
        "data: {\"mail\": \"kari\\u0040example.n\n\n",
        "data: +47 98 76 54\n\n",
        "data: 4111 1111 1111\r\r",
        "id: 12018412345\n\n",
        "data\n\n",
        "\n\n",
    ] {
        let mut scanner = Scanner::new(Format::Events);
        for piece in event.as_bytes().chunks(1) {
            scanner.push(&rules, &support::pseudonym, piece, false, &mut Vec::new()).unwrap();
        }
        assert_eq!(scanner.held(), 0, "{event:?}");
    }
}

#[test]
fn endless_input_is_held_back_only_so_far() {
    let config = serde_json::json!({
        "categories": {"ip": "mask", "token": "mask"},
        "custom": [{"name": "long", "pattern": "\\bx[a-z ]+y", "max_length": 512}],
    });
    let rules = rules(&config);
    for unit in [
        "a",
        "1",
        "1 ",
        "a.",
        "4111 ",
        "\\u0061",
        "%41",
        "@",
        "ø",
        ":",
        "+",
        "\\",
        "x ",
        "NO93 ",
        "a@b.",
        "0",
        "1,",
        "+1 ",
        "e1",
        "-",
        "true",
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
        "bearer a1b2c3d4e5f6g7h8",
        "x://u:p",
        "ghp_",
        "98 76 ",
        "\n",
        "\\ud83d",
    ] {
        for format in FORMATS {
            let start: &str = if format == Format::Json { "\"" } else { "" };
            let input = format!("{start}{}", unit.repeat(6_000 / unit.len()));
            let mut scanner = Scanner::new(format);
            let (mut out, mut most) = (Vec::new(), 0);
            for piece in input.as_bytes().chunks(997) {
                if scanner.push(&rules, &support::pseudonym, piece, false, &mut out).unwrap()
                    == pii_redact::scanner::Outcome::Unchanged
                {
                    out.extend_from_slice(piece);
                }
                most = most.max(scanner.held());
            }
            assert!(most <= MOST_HELD, "{unit:?} as {format:?}: {most}");
            scanner.push(&rules, &support::pseudonym, b"", true, &mut out).unwrap();
            assert_eq!(text(&out), text(&scan(&rules, format, &[input.as_bytes()])), "{unit:?} as {format:?}");
        }
    }
}

#[test]
fn what_holds_nothing_passes_without_a_copy() {
    let rules = rules(&serde_json::json!({}));
    let mut scanner = Scanner::new(Format::Json);
    let mut out = Vec::new();
    let input = r#"{"name": "Kari", "items": [1, 22, 333], "note": "blåbær og 12 egg", "at": "2026-01-02T03:04:05Z"}"#;
    let outcome = scanner.push(&rules, &support::pseudonym, input.as_bytes(), false, &mut out);
    assert_eq!(outcome, Ok(pii_redact::scanner::Outcome::Unchanged));
    assert_eq!((out.len(), scanner.held()), (0, 0));
}

/// Pieces of what matters, so that random input has candidates, near misses and cut escapes.
const FRAGMENTS: &[&str] = &[
    "kari@example.no",
    "kari\\u0040example.no",
    "kari%40example.no",
    "+47 987 65 432",
    "98 76 54 32",
    "4111 1111 1111 1111",
    "NO93 8601 1117 947",
    "02013299997",
    "020132 99903",
    "1234.56.78903",
    "192.0.2.1",
    "2001:db8::1",
    "K-123456",
    "\"phone\":\"98765432\"",
    "\"secret\": {\"a\": [1, \"x\", true]}",
    "data: {\"a\":",
    "\ndata: \"x\": 98765432}\n\n",
    "\"phones\":[\"98765432\",{\"id\":1},",
    "4222222222222",
    "+46701234567 2026-01-02",
    "\u{feff}",
    "true",
    "\"secret\" : ",
    "\u{1e}",
    "&secret=abc&",
    "\\ud83d\\ude00",
    "blåbær",
    "98 76 54 32 11",
    "12345678-1234-1234-1234-123456789012",
    "-Infinity",
    "811218-9876",
    "020132 999 97",
    "02.01.32 99997",
    "IBANNO9386011117947",
    "+4722334455x12",
    "\"kari n\"@example.no",
    "\\\"kari n\\\"@example.no",
    "kari/oslo@example.no",
    "用户@例子.广告",
    "eyJhbGciOiJub25lIn0.eyJ",
    "Bearer a1b2c3d4e5f6g7h8i9",
    "value=Bearer+7wLldVsBK3j9GnTRR7lI0faPqCi0X6u0pqhCHwhd&x=",
    "info=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI5cnJM.x ",
    "Bearer ",
    "</eyJbIUzI1N0.g>",
    "/",
    "192.0.2.1",
    "postgres://app:s}cret@db.no ",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\\nMII",
    "-----END PRIVATE KEY-----",
    "AKIAIOSFODNN7EXAMPLE",
    "x://u:p1@",
    "131052A308T",
    "131052-308T ",
    "AKIAIOSFODNN7EXAMPLE ",
    "GB29 NWBK 6016 1331 9268 19",
    "98765432x12",
    "tlf ",
    "cpr 251248 4916",
    "org.nr 974 760 673",
    "974760673 MVA",
    "tlf 98765432, 91234567 ",
    "konto 12345678903",
    "{\"kari@example.no\":1,\"ola@example.no\":",
    "kid 6000000000000000004",
    "“",
    "{\\\"fnr\\\":\\\"Fnr:\\\\n30108299920\\\"}",
    "\"{\\\"phone\\\": 98765432, \\\"n\\\": [1]}\"",
    "\"a=1&tlf=98765432\"",
    "２２ 33\u{a0}44\u{202f}55",
    "kari&#64;example.no",
    "kari\u{200b}@example.no",
    "2026-11-30 19:07:31.123456",
    "2026-11-30T19:07:31,12345678",
    "2026-11-30T19:07:31Z ",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "10.0.255.255:8080",
    "\"telefon\":{\"nummer\":98765432,\"x\":",
    "{\"type\":\"phone\",\"value\":\"98765432\"}",
    "[[\"navn\",\"telefon\"],[\"Kari\",\"98765432\"]]",
    "glpat-a1b2c3d4e5f6g7h8i9j0",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
];

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        83 => prop::sample::select(FRAGMENTS).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
        1 => "[0-9 .+@:\\\\%\"{}\\[\\],\n\r&=/-]{0,6}",
    ]
}

/// With the default rules most bytes are passed by a glance.
fn default_rules() -> Rules {
    rules(&serde_json::json!({}))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn cuts_change_nothing(
        fragments in prop::collection::vec(fragment(), 0..14),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        format in prop::sample::select(FORMATS.to_vec()),
    ) {
        let input = fragments.concat().into_bytes();
        let rules = rules(&serde_json::json!({
            "categories": {
                "ip": "mask", "token": "mask",
                "card": {"action": "mask", "keep_last": 4}, "email": {"action": "hash", "secret": "s"},
            },
            "fields": ["secret"],
            "custom": [{"name": "customer", "pattern": "\\bK-[0-9]{6}\\b", "action": "replace", "with": "\"C\""}],
        }));
        let whole = scan(&rules, format, &[&input]);
        let looked_at = scan(&rules.clone().without_prefilter(), format, &[&input]);
        prop_assert_eq!(text(&looked_at), text(&whole), "without the prefilter");
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        ends.extend([0, input.len()]);
        ends.sort_unstable();
        let pieces: Vec<&[u8]> = ends.windows(2).map(|ends| &input[ends[0]..ends[1]]).collect();
        prop_assert_eq!(text(&scan(&rules, format, &pieces)), text(&whole));
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        if !bytes.is_empty() {
            prop_assert_eq!(text(&scan(&rules, format, &bytes)), text(&whole));
        }
    }

    #[test]
    fn what_is_passed_by_a_glance_holds_nothing(
        fragments in prop::collection::vec(fragment(), 0..14),
        cut in any::<prop::sample::Index>(),
        format in prop::sample::select(FORMATS.to_vec()),
    ) {
        let input = fragments.concat().into_bytes();
        let rules = default_rules();
        let whole = scan(&rules, format, &[&input]);
        let cut = cut.index(input.len() + 1);
        prop_assert_eq!(text(&scan(&rules, format, &[&input[..cut], &input[cut..]])), text(&whole));
        let looked_at = scan(&rules.without_prefilter(), format, &[&input]);
        prop_assert_eq!(text(&looked_at), text(&whole));
    }
}
