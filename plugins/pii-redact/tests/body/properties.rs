//! Properties of generated bodies: no cut makes a difference, what holds nothing comes back byte for byte, and other readers
//! find the same parts, cells and values in what comes out.

use std::fmt::Write as _;

use mail_parser::{MessageParser, MimeHeaders};
use pii_redact::body::charset::Charset;
use proptest::prelude::*;
use serde_json::json;

use super::{base64, shown};
use crate::support::{read, settings};

/// Texts that hold personal data, look like it, or have what containers are made of in them.
fn text() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        3 => "[a-zæøå ]{0,8}",
        1 => "[ -~]{0,6}",
        1 => Just("kari@example.no".to_owned()),
        1 => Just("02013299997".to_owned()),
        1 => Just("+47 98 76 54 32".to_owned()),
        1 => Just("98765432".to_owned()),
        1 => Just("4111 1111 1111 1111".to_owned()),
        1 => Just("1111 1111 ".to_owned()),
        1 => Just("😀\u{a0}".to_owned()),
        1 => Just("tlf ９８ ７６ ５４ ３２ ".to_owned()),
        1 => Just("kari&#64;example.no &commat;".to_owned()),
        1 => Just("02013\u{200b}299997".to_owned()),
        1 => Just("kari％40example.no".to_owned()),
        1 => Just("\"; ,\t".to_owned()),
        1 => Just("--x".to_owned()),
        1 => Just("=40=\r\n%40".to_owned()),
    ];
    prop::collection::vec(fragment, 0..8).prop_map(|fragments| fragments.concat())
}

/// Bytes that containers are made of, in no order.
fn rubble() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        &b"\r\n--x\r\n"[..],
        b"--x--",
        b"\n--x",
        b"Content-Disposition: form-data; name=\"tlf\"; filename*=UTF-8''kari%40example.no\r\n\r\n",
        b"Content-Disposition: form-data; name=secret\n\n",
        b"Content-Type: text/csv\n\n",
        b"Content-Type: multipart/mixed; boundary=xx\n\n--xx\n",
        b"Content-Type: message/rfc822\n\n",
        b"Content-Type: text/plain; charset=utf-16\n",
        b"Content-Transfer-Encoding: base64\n\nZm5yIDAy\nMDEzMjk5",
        b"OTk3\nMDIw",
        b"Content-Transfer-Encoding: quoted-printable\n\n",
        b"kari=40exam=\nple.no =  \n",
        b"Subject: =?utf-8?Q?kari=40exa?= =?utf-8?Q?mple.no?=\n",
        b"\n",
        b"\r\n\r\n",
        b"tlf;\"secret\";x\n",
        b"98765432;\"a\"\"b\";\"c",
        b"\"d;",
        b"a=%7b%22secret%22:+[1,2],%22t%22:%22kari%40example.no%22}&tlf=98765432&",
        b"%7",
        b"{\"secret\":02013299997}",
        b"kari@example.no",
        b"02013299997",
        b"k\0a\0r\0i\0@\0e\0x\0.\0n\0o\0",
        b"\xFF\xFE",
        b"\x89PNG\r\n\x1A\n",
        b"\xD8\0\xDC",
        b"<table><tr><th>telefon</th><th colspan=2>kid<th>fnr</tr>",
        b"<tr><td>98765432</td><td>",
        b"<!-- </table> --",
        b"INSERT INTO k (telefon, [kid]) VALUES (98765432, '98765432'), (",
        b"COPY k (kid, telefon) FROM stdin;\n98765432\t98765432\n",
        b"\\.\n",
        b"'98765432', ",
    ]);
    prop::collection::vec(fragment, 0..14).prop_map(|fragments| fragments.concat())
}

const TYPES: [&str; 15] = [
    "text/html",
    "application/sql",
    "text/plain",
    "multipart/form-data; boundary=x",
    "multipart/digest; boundary=x",
    "message/rfc822",
    "text/csv",
    "text/tab-separated-values",
    "application/x-www-form-urlencoded",
    "text/plain; charset=utf-16",
    "text/csv; charset=iso-8859-1",
    "application/json; charset=utf-32be",
    "image/png",
    "application/octet-stream",
    "",
];

fn quoted_printable(text: &[u8]) -> String {
    text.iter().enumerate().fold(String::new(), |mut out, (at, byte)| {
        match byte {
            b'!'..=b'<' | b'>'..=b'~' => out.push(char::from(*byte)),
            byte => write!(out, "={byte:02X}").unwrap(),
        }
        if at % 20 == 19 {
            out.push_str("=\r\n");
        }
        out
    })
}

/// What a text alone becomes.
fn redacted(text: &str) -> String {
    String::from_utf8(read(&settings(&json!({})), "text/plain", [text.as_bytes()]).0).unwrap()
}

/// Pieces of a body.
fn cut<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    ends.extend([0, input.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|ends| &input[ends[0]..ends[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn cuts_change_nothing(
        input in rubble(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        content_type in prop::sample::select(TYPES.to_vec()),
        unreadable in prop::sample::select(vec!["pass", "block"]),
    ) {
        let settings = settings(&json!({"fields": ["secret"], "unreadable": unreadable}));
        let (whole, _) = read(&settings, content_type, [&input[..]]);
        prop_assert_eq!(shown(&read(&settings, content_type, cut(&input, &cuts)).0), shown(&whole));
        prop_assert_eq!(shown(&read(&settings, content_type, input.chunks(1).chain([&b""[..]])).0), shown(&whole));
    }

    #[test]
    fn without_categories_all_comes_back(
        input in prop_oneof![rubble(), prop::collection::vec(any::<u8>(), 0..400)],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        content_type in prop::sample::select(TYPES.to_vec()),
    ) {
        let off: serde_json::Map<_, _> = [
            "email", "phone", "card", "iban", "fodselsnummer", "personnummer", "cpr", "hetu", "organisation", "kontonummer",
            "credential",
        ].into_iter().map(|name| (name.to_owned(), json!("off"))).collect();
        let settings = settings(&json!({"categories": off}));
        prop_assert_eq!(shown(&read(&settings, content_type, cut(&input, &cuts)).0), shown(&input));
        prop_assert_eq!(read(&settings, content_type, [&input[..]]), (input, true));
    }

    #[test]
    fn charsets_change_nothing_but_values(text in text(), charset in prop::sample::select(vec![
        (Charset::Utf16Le, "utf-16le"), (Charset::Utf16Be, "utf-16be"), (Charset::Utf32Le, "utf-32le"),
        (Charset::Utf32Be, "utf-32be"), (Charset::Windows1252, "latin1"), (Charset::Macintosh, "macintosh"),
    ])) {
        let (charset, label) = charset;
        let encoded = |text: &str| {
            let mut out = Vec::new();
            charset.encode(text.as_bytes(), true, &mut out);
            out
        };
        // What a charset of single bytes lacks can't be in it.
        let wide = label.starts_with("utf");
        let text: String = text.chars().filter(|character| wide || *character <= 'ÿ').collect();
        let out = read(&settings(&json!({})), &format!("text/plain; charset={label}"), [&encoded(&text)[..]]).0;
        prop_assert_eq!(shown(&out), shown(&encoded(&redacted(&text))));
    }

    #[test]
    fn cells_stay_cells(rows in prop::collection::vec(prop::collection::vec(text(), 3), 1..5), delimiter in prop::sample::select(vec![b';', b','])) {
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        writer.write_record(["a", "b", "c"]).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let input = writer.into_inner().unwrap();
        let config = json!({"categories": {"email": {"action": "replace", "with": "a;\"b\",c"}}});
        let settings = settings(&config);
        let out = read(&settings, "text/csv", input.chunks(5)).0;
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&out[..]);
        let read_back: Vec<Vec<String>> =
            reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
        prop_assert_eq!(read_back.len(), rows.len());
        for (row, back) in rows.iter().zip(&read_back) {
            prop_assert_eq!(row.len(), back.len());
            for (column, (cell, back)) in row.iter().zip(back).enumerate() {
                // Behind a cell that announces something, a number may be more.
                if column == 0 || row[column - 1].is_empty() {
                    let alone = read(&settings, "text/plain", [cell.as_bytes()]).0;
                    prop_assert_eq!(back.as_bytes(), &alone[..]);
                }
            }
        }
    }

    #[test]
    fn parts_stay_parts(texts in prop::collection::vec(text(), 1..4), kinds in prop::collection::vec(0..3_u8, 4), width in 16..100_usize) {
        let mut input = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n".to_vec();
        for (text, kind) in texts.iter().zip(&kinds) {
            let (coding, body) = match kind {
                0 => ("8bit", text.clone()),
                1 => ("base64", base64(text.as_bytes(), width / 4 * 4)),
                _ => ("quoted-printable", quoted_printable(text.as_bytes())),
            };
            let part = format!("--=_b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {coding}\r\n\r\n{body}\r\n");
            input.extend_from_slice(part.as_bytes());
        }
        input.extend_from_slice(b"--=_b--\r\n");
        let out = read(&settings(&json!({})), "message/rfc822", input.chunks(11)).0;
        let message = MessageParser::default().parse(&out).unwrap();
        prop_assert_eq!(message.text_body_count(), texts.len());
        for (index, text) in texts.iter().enumerate() {
            let part = message.text_part(index as u32).unwrap();
            prop_assert!(part.content_type().is_some_and(|it| it.c_type == "text"));
            prop_assert_eq!(part.text_contents().unwrap(), redacted(text), "{}", shown(&out));
        }
    }

    #[test]
    fn json_in_forms_stays_json(texts in prop::collection::vec(text(), 1..4)) {
        let document = json!({"texts": texts, "fnr": 2_013_299_997_u64, "more": [{"a": texts[0]}]});
        let plain = document.to_string();
        let input = form_urlencoded::Serializer::new(String::new())
            .append_pair("a", "b").append_pair("payload", &plain).append_pair("c", "d").finish();
        let out = read(&settings(&json!({})), "application/x-www-form-urlencoded", input.as_bytes().chunks(9)).0;
        let pairs: Vec<_> = form_urlencoded::parse(&out).into_owned().collect();
        prop_assert_eq!(pairs.len(), 3);
        let alone = read(&settings(&json!({})), "application/json", [plain.as_bytes()]).0;
        prop_assert_eq!(pairs[1].1.as_bytes(), &alone[..]);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&pairs[1].1).is_ok());
    }
}
