//! Multipart bodies (RFC 7578, RFC 2046) and messages (RFC 5322) with the transfer encodings of RFC 2045.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Container, any, plain, text, utf8};

const BOUNDARY: &str = "----grense7MA4YWxk";

pub(super) const ALL: &[Container] = &[
    Container {
        name: "multipart fields",
        content_type: "multipart/form-data; boundary=----grense7MA4YWxk",
        holds: any,
        write: |_, items| {
            parts(items.iter().map(|item| {
                format!("Content-Disposition: form-data; name=\"{}\"\r\n\r\n{}", item.name.key, item.whole())
            }))
        },
        read: utf8,
    },
    Container {
        name: "multipart text file",
        content_type: "multipart/form-data; boundary=----grense7MA4YWxk",
        holds: any,
        write: |rng, items| {
            let head =
                "Content-Disposition: form-data; name=\"fil\"; filename=\"notat.txt\"\r\nContent-Type: text/plain";
            parts([format!("{head}\r\n\r\n{}", text::text(rng, items))].into_iter())
        },
        read: utf8,
    },
    Container {
        name: "multipart file name",
        content_type: "multipart/form-data; boundary=----grense7MA4YWxk",
        holds: |item| plain(item) && !item.whole().contains('/'),
        write: |_, items| {
            parts(items.iter().map(|item| {
                let name = format!("{} {}, signert.pdf", item.name.key, item.whole());
                let head = format!("Content-Disposition: form-data; name=\"fil\"; filename=\"{name}\"");
                format!("{head}\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.7")
            }))
        },
        read: utf8,
    },
    Container {
        name: "mail, quoted-printable",
        content_type: "message/rfc822",
        holds: any,
        write: |rng, items| mail("quoted-printable", &quoted_printable(&text::text(rng, items))),
        read: |bytes| from_quoted_printable(body(bytes)?),
    },
    Container {
        name: "mail, base64",
        content_type: "message/rfc822",
        holds: any,
        write: |rng, items| mail("base64", &base64_lines(&text::text(rng, items))),
        read: |bytes| {
            let compact: String = body(bytes)?.split_whitespace().collect();
            utf8(&BASE64_STANDARD.decode(compact).map_err(|error| error.to_string())?)
        },
    },
];

fn parts(parts: impl Iterator<Item = String>) -> Vec<u8> {
    let all: String = parts.map(|part| format!("--{BOUNDARY}\r\n{part}\r\n")).collect();
    format!("{all}--{BOUNDARY}--\r\n").into_bytes()
}

fn mail(encoding: &str, body: &str) -> Vec<u8> {
    format!(
        "Subject: Sak 7\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn body(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    Ok(text.split_once("\r\n\r\n").ok_or("no body")?.1)
}

/// RFC 2045 section 6.7, with soft line breaks behind 76 characters at most.
fn quoted_printable(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\r', '\n']);
        for byte in content.bytes() {
            let encoded = match byte {
                b'=' | 0x80.. | 0..=0x1F => format!("={byte:02X}"),
                _ => char::from(byte).to_string(),
            };
            if column + encoded.len() > 75 {
                out.push_str("=\r\n");
                column = 0;
            }
            column += encoded.len();
            out.push_str(&encoded);
        }
        if content.len() < line.len() {
            out.push_str("\r\n");
            column = 0;
        }
    }
    out
}

fn from_quoted_printable(text: &str) -> Result<String, String> {
    let text = text.replace("=\r\n", "");
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'=' {
            out.push(byte);
            continue;
        }
        let pair = [bytes.next().unwrap_or(0), bytes.next().unwrap_or(0)];
        let digits = std::str::from_utf8(&pair).map_err(|error| error.to_string())?;
        out.push(u8::from_str_radix(digits, 16).map_err(|error| format!("={digits}: {error}"))?);
    }
    // The line breaks of the text are those of the mail.
    utf8(&out).map(|text| text.replace("\r\n", "\n"))
}

/// Lines of 76 characters.
fn base64_lines(text: &str) -> String {
    let encoded = BASE64_STANDARD.encode(text);
    encoded.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\r\n").collect()
}
