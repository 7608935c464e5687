//! What can't be read, what must not pass, and how much is held back.

use serde_json::json;

use super::{all_ways, base64, becomes, expect, shown};
use crate::support::{read, settings};

#[test]
fn binary_content_passes_where_it_is_what_it_says() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR kari@example.no";
    let gzip = b"\x1F\x8B\x08\0\0\0\0\0 kari@example.no";
    let wild = b"\x01\x02\x03\x80 kari@example.no";
    let block = json!({"categories": {"card": "block"}});
    for (config, content_type, input, passes) in [
        (json!({}), "image/png", &png[..], true),
        (json!({}), "application/octet-stream", gzip, true),
        (block.clone(), "text/plain", wild, false),
        (block.clone(), "text/plain; charset=latin1", gzip, false),
        (block.clone(), "text/event-stream", gzip, false),
        (block.clone(), "image/png", b"PK\x03\x04\0\0", false),
        (block.clone(), "application/zip", b"PK\x03\x04\0\0", false),
        (block.clone(), "application/pdf", b"%PDF-1.7\n", false),
        (block.clone(), "text/plain; charset=utf-16", b"kari@example.no", false),
        (block.clone(), "", b"-----BEGIN PGP MESSAGE-----\n\nabc", false),
        (block.clone(), "application/json", b"\0\0\x01{}", false),
        (block.clone(), "application/json", b"PK\x03\x04\x14\0", false),
        (block.clone(), "text/plain", b"-----BEGIN PGP MESSAGE-----\n\nabc", false),
        (block.clone(), "text/html", b"%PDF-1.4 kari", false),
        (block.clone(), "application/x-www-form-urlencoded", b"BZh91AY&SY\xFF", false),
        (block.clone(), "application/json", b"x\x9C\xABV", false),
        (block.clone(), "text/plain", b"PK og mer", true),
        (block.clone(), "message/rfc822", b"Content-Transfer-Encoding: x-uuencode\r\n\r\nabc", false),
        (block.clone(), "message/rfc822", b"Content-Transfer-Encoding: 8Bit\r\n\r\nabc", true),
        (block.clone(), "text/csv", b"-----BEGIN PG", true),
        (block.clone(), "application/json", b"ab kari\x01\x02", false),
        (block.clone(), "text/plain", b"   \x1F\x8B\x08\0", false),
        (block.clone(), "image/png", b"\x89PNG\r\n\x1a\n{\"e\":1}", false),
        (json!({}), "text/plain", b"PK\x03\x04 kari", true),
        (json!({}), "application/grpc", b"kari@example.no", true),
        (block.clone(), "image/png", png, true),
        (block.clone(), "application/octet-stream", png, true),
        (block.clone(), "video/mp4", wild, false),
        (block.clone(), "image/png", gzip, false),
        (block.clone(), "application/octet-stream", gzip, false),
        (block.clone(), "application/json", gzip, false),
        (block.clone(), "", wild, false),
        (block.clone(), "application/grpc", b"kari@example.no", false),
        (block.clone(), "text/plain; charset=utf-7", b"kari@example.no", false),
        (json!({"categories": {"card": "block"}, "unreadable": "pass"}), "", wild, true),
        (json!({"unreadable": "block"}), "", wild, false),
    ] {
        expect(config, content_type, input, if passes { input } else { b"unreadable" });
    }
    // What says that it is text is read all the same.
    becomes("text/plain; charset=utf-16le", "kari@example.no", "***");
    becomes("text/plain", "\u{1}\u{2} kari@example.no", "\u{1}\u{2} ***");
    for content_type in ["application/grpc", "image/png", ""] {
        expect(block.clone(), content_type, b"", b"");
    }
    let parts = |data: &[u8]| {
        [b"--x\r\nContent-Disposition: form-data; name=f; filename=a.bin\r\n\r\n", data, b"\r\n--x--\r\n"].concat()
    };
    expect(block.clone(), "multipart/form-data; boundary=x", &parts(png), &parts(png));
    expect(block.clone(), "multipart/form-data; boundary=x", &parts(gzip), b"unreadable");
    // A line that some readers would take for the start of another part.
    let hidden = parts(&[png, &b"\n--xy\r\n\r\nkari@example.no"[..]].concat());
    let seen = String::from_utf8_lossy(&hidden).replace("--xy\r\n\r\nkari@example.no", "--xy\r\n\r\n***");
    let out = all_ways(&settings(&json!({})), "multipart/form-data; boundary=x", &hidden);
    assert_eq!(String::from_utf8_lossy(&out), seen);
    expect(block, "multipart/form-data; boundary=x", &hidden, b"unreadable");
}

#[test]
fn blocked_values_block_in_every_container() {
    let config = json!({"categories": {"fodselsnummer": "block"}});
    for (content_type, input) in [
        ("multipart/form-data; boundary=x", "--x\nContent-Disposition: form-data; name=a\n\n02013299997\n--x--"),
        ("multipart/form-data; boundary=x", "--x\nContent-Disposition: form-data; filename=02013299997\n\na\n--x--"),
        ("message/rfc822", "Content-Transfer-Encoding: base64\n\nMDIwMTMyOTk5OTc="),
        ("text/csv", "a;b\n1;02013299997"),
        ("application/x-www-form-urlencoded", "a={\"b\":\"02013299997\"}"),
    ] {
        expect(config.clone(), content_type, input.as_bytes(), b"blocked: fodselsnummer");
    }
}

#[test]
fn what_holds_nothing_passes_without_a_copy() {
    let clean = settings(&json!({}));
    for (content_type, input) in [
        ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n"),
        ("text/csv", "a;b\n1;\"2\"\n"),
        ("application/x-www-form-urlencoded", "a=%7b%22b%22%3a1%7d&c=d"),
        ("message/rfc822", "Subject: a\n\nb"),
        ("text/plain; charset=utf-16", "a\0b\0"),
        ("image/png", "\u{89}PNG"),
    ] {
        assert_eq!(read(&clean, content_type, [input.as_bytes()]), (input.as_bytes().to_vec(), true), "{content_type}");
    }
}

/// The state is looked at by what reads the body.
#[test]
fn endless_input_is_held_back_only_so_far() {
    let settings = settings(&json!({"fields": ["secret"]}));
    let digits = "98 76 ".repeat(2_000);
    let deep = |head: &str, times: usize, rest: &str| format!("{}{rest}", head.repeat(times));
    let coded = |coding: &str| format!("Content-Type: message/rfc822\nContent-Transfer-Encoding: {coding}\n\n");
    let base64_twice = {
        let inner = format!("{}{}", coded("base64"), base64(digits.as_bytes(), 76));
        format!("{}{}", coded("base64"), base64(inner.as_bytes(), 76))
    };
    for (content_type, input) in [
        ("message/rfc822", base64_twice),
        ("message/rfc822", deep(&coded("quoted-printable"), 40, &"kari=\n".repeat(5_000))),
        ("message/rfc822", deep(&coded("quoted-printable"), 1, &format!("kari{}", "=\n".repeat(20_000)))),
        ("message/rfc822", deep(&coded("base64"), 1, &format!("Zm9v{}", "\n".repeat(20_000)))),
        ("message/rfc822", deep("Content-Type: message/rfc822\n\n", 60, &"a: b\n".repeat(8_000))),
        ("message/rfc822", "a".repeat(40_000)),
        (
            "multipart/mixed; boundary=x",
            deep("--x\nContent-Type: multipart/mixed; boundary=x\n\n", 60, &" ".repeat(20_000)),
        ),
        ("multipart/mixed; boundary=x", format!("--x{}", " ".repeat(20_000))),
        (
            "multipart/mixed; boundary=x",
            format!("--x\nContent-Disposition: form-data; name={}\n\na", "n".repeat(8_000)),
        ),
        ("text/csv", ",".repeat(40_000)),
        ("text/csv", "telefon,".repeat(5_000)),
        ("text/csv", format!("a\n{digits}")),
        ("text/csv", format!("\"{}", "\"\"".repeat(20_000))),
        ("application/x-www-form-urlencoded", "a".repeat(40_000)),
        ("application/x-www-form-urlencoded", format!("a={}", "%20".repeat(20_000))),
        ("application/x-www-form-urlencoded", format!("a=%7B%22b%22:%22{}", "%39".repeat(20_000))),
        ("text/plain; charset=utf-32", digits.clone()),
        ("", " ".repeat(40_000)),
    ] {
        let whole = read(&settings, content_type, [input.as_bytes()]).0;
        let pieces = read(&settings, content_type, input.as_bytes().chunks(500)).0;
        assert_eq!(shown(&pieces), shown(&whole), "{content_type}");
    }
}

#[test]
fn heads_may_be_long() {
    let fields = "Received: from a.example by b.example; Mon, 2 Feb 2026 10:00:00 +0100\r\n".repeat(400);
    let long = format!("To: {}\r\n", "Kari <kari@example.no>,\r\n ".repeat(500));
    let rest = "Content-Transfer-Encoding: base64\r\n\r\nRm5yIDAyMDEzMjk5OTk3\r\n";
    let redacted = rest.replace("Rm5yIDAyMDEzMjk5OTk3", "Rm5yICoqKg==");
    becomes("message/rfc822", &format!("{fields}{rest}"), &format!("{fields}{redacted}"));
    let masked = long.replace("kari@example.no", "***");
    becomes("message/rfc822", &format!("{long}{rest}"), &format!("{masked}{redacted}"));
    let input = format!("{long}{rest}");
    expect(json!({"categories": {"card": "block"}}), "message/rfc822", input.as_bytes(), b"unreadable");
}

#[test]
fn what_is_too_deep_to_be_opened_is_text_or_refused() {
    let nested = |times: usize, text: &str| {
        let message = "Content-Type: message/rfc822\n\n".repeat(times);
        format!("{message}Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n{text}")
    };
    becomes("message/rfc822", &nested(4, "Rm5yIDAyMDEzMjk5OTk3\n"), &nested(4, "Rm5yICoqKg==\n"));
    becomes("message/rfc822", &nested(20, "Rm5yIDAyMDEzMjk5OTk3\n"), &nested(20, "Rm5yIDAyMDEzMjk5OTk3\n"));
    let deep = nested(20, "Rm5yIDAyMDEzMjk5OTk3\n");
    expect(json!({"categories": {"card": "block"}}), "message/rfc822", deep.as_bytes(), b"unreadable");
}
