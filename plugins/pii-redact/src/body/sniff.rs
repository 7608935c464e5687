//! What first bytes say a body is: magic numbers (WHATWG MIME Sniffing standard, sections 6 and 7, and the formats' own
//! definitions), and the looks of text formats.

use serde::{Deserialize, Serialize};

use super::declared::Layout;

/// So many first bytes are looked at, at most.
pub(crate) const MOST: usize = 256;

/// A kind of binary content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Binary {
    /// `image/*`
    Image,
    /// `audio/*` and `video/*`: many containers hold either.
    Media,
    /// `font/*`
    Font,
    /// `application/wasm`
    Wasm,
    /// `application/pdf`
    Pdf,
    /// `application/zip`, and what is one: office documents, packages.
    Zip,
    /// Compressed or encrypted: gzip, zstd, xz, bzip2, 7z, RAR, OpenPGP, age and the like.
    Closed,
}

/// Magic numbers: where they stand, what is there, whose they are.
const MAGIC: [(usize, &[u8], Binary); 49] = [
    (0, b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", Binary::Image),
    (0, b"\xFF\xD8\xFF", Binary::Image),
    (0, b"GIF87a", Binary::Image),
    (0, b"GIF89a", Binary::Image),
    (8, b"WEBPVP", Binary::Image),
    (0, b"\0\0\x01\0", Binary::Image),
    (0, b"\0\0\x02\0", Binary::Image),
    (0, b"II*\0", Binary::Image),
    (0, b"MM\0*", Binary::Image),
    (0, b"8BPS\0\x01", Binary::Image),
    (0, b"\xFF\x0A", Binary::Image),
    (0, b"\0\0\0\x0CJXL \r\n\x87\n", Binary::Image),
    (0, b"\0\0\0\x0CjP  \r\n\x87\n", Binary::Image),
    (4, b"ftypavif", Binary::Image),
    (4, b"ftypavis", Binary::Image),
    (4, b"ftyphei", Binary::Image),
    (4, b"ftypmif1", Binary::Image),
    (4, b"ftyp", Binary::Media),
    (4, b"moov", Binary::Media),
    (4, b"styp", Binary::Media),
    (0, b"\x1A\x45\xDF\xA3", Binary::Media),
    (0, b"OggS\0", Binary::Media),
    (0, b"ID3", Binary::Media),
    (0, b"fLaC\0", Binary::Media),
    (0, b"FLV\x01", Binary::Media),
    (0, b"MThd\0\0\0\x06", Binary::Media),
    (0, b"#!AMR\n", Binary::Media),
    (0, b"\0\0\x01\xBA", Binary::Media),
    (0, b"\0\0\x01\xB3", Binary::Media),
    (0, b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", Binary::Media),
    (0, b".snd\0\0\0", Binary::Media),
    (0, b"true\0", Binary::Font),
    (34, b"LP", Binary::Font),
    (0, b"wOFF", Binary::Font),
    (0, b"wOF2", Binary::Font),
    (0, b"OTTO", Binary::Font),
    (0, b"ttcf", Binary::Font),
    (0, b"\0\x01\0\0", Binary::Font),
    (0, b"\0asm\x01\0\0\0", Binary::Wasm),
    (0, b"\0asm\x0D\0\x01\0", Binary::Wasm),
    (0, b"%PDF-", Binary::Pdf),
    (0, b"PK\x03\x04", Binary::Zip),
    (0, b"PK\x05\x06", Binary::Zip),
    (0, b"\x1F\x8B\x08", Binary::Closed),
    (0, b"\x28\xB5\x2F\xFD", Binary::Closed),
    (0, b"\xFD7zXZ\0", Binary::Closed),
    (0, b"7z\xBC\xAF\x27\x1C", Binary::Closed),
    (0, b"Rar!\x1A\x07", Binary::Closed),
    (0, b"Salted__", Binary::Closed),
];

/// What the header of a RIFF or IFF file says behind its length.
const CHUNKED: [(&[u8], &[u8], Binary); 4] = [
    (b"RIFF", b"WEBP", Binary::Image),
    (b"RIFF", b"WAVE", Binary::Media),
    (b"RIFF", b"AVI ", Binary::Media),
    (b"FORM", b"AIF", Binary::Media),
];

/// Whether a part of what calls itself text is none: no text has control characters but those that lay it out, escapes, and
/// the separator of JSON texts (RFC 7464), and what is packed or encrypted has others within a few dozen bytes.
pub(crate) fn is_no_text(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| byte.is_ascii_control() && !matches!(byte, 0x07..=0x0D | 0x1B | 0x1E | 0x7F))
}

/// The kind of binary content that begins so. Much of what magic numbers are made of are letters, so the rest of the first
/// bytes must look binary too; but for a PDF, whose first lines may all be text.
pub(crate) fn magic(start: &[u8]) -> Option<Binary> {
    let sure = |kind: &Binary| match kind {
        Binary::Pdf => true,
        Binary::Closed => !start.is_ascii() || is_binary(start),
        _ => is_binary(start),
    };
    numbered(start).filter(sure)
}

fn numbered(start: &[u8]) -> Option<Binary> {
    let at = |offset: usize, bytes: &[u8]| start.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    if let Some((_, _, kind)) = CHUNKED.iter().find(|(name, kind, _)| at(0, name) && at(8, kind)) {
        return Some(*kind);
    }
    if let Some((_, _, kind)) = MAGIC.iter().find(|(offset, bytes, _)| at(*offset, bytes)) {
        return Some(*kind);
    }
    // A frame of MPEG audio: eleven set bits, a version, a layer and a rate that exist (ISO/IEC 11172-3, 2.4.1.3).
    match start {
        // 0xFE is left to the byte order mark of UTF-16.
        [0xFF, second @ (0xE0..=0xFD | 0xFF), third, ..]
            if second & 0x18 != 0x08 && second & 6 != 0 && third & 0xF0 != 0xF0 =>
        {
            Some(Binary::Media)
        }
        // AAC in ADTS frames: twelve set bits and layer 0.
        [0xFF, 0xF0 | 0xF1 | 0xF8 | 0xF9, ..] => Some(Binary::Media),
        // Packets of an MPEG transport stream (ISO/IEC 13818-1, 2.4.3.2).
        [0x47, ..] if start.get(188) == Some(&0x47) => Some(Binary::Media),
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..] => Some(Binary::Closed),
        // A bitmap: the two reserved numbers in its header are zero.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some(Binary::Image),
        _ => None,
    }
}

/// Whether no text holds these bytes: control characters (WHATWG MIME Sniffing standard, "binary data byte"), or many bytes
/// that are no UTF-8: Latin-1 has some.
pub(crate) fn is_binary(start: &[u8]) -> bool {
    let control = |byte: &u8| matches!(byte, 0..=8 | 0x0B | 0x0E..=0x1A | 0x1C | 0x1D | 0x1F);
    if start.iter().any(control) {
        return true;
    }
    let wrong: usize = start.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    wrong > 3 && wrong * 3 > start.len()
}

/// Whether it is a message that is encrypted, written as text (RFC 9580 section 6.2).
pub(crate) fn is_encrypted(start: &[u8]) -> bool {
    let start = start.trim_ascii_start();
    [&b"-----BEGIN PGP MESSAGE-----"[..], b"-----BEGIN AGE ENCRYPTED FILE-----", b"-----BEGIN PKCS7-----"]
        .iter()
        .any(|armour| start.starts_with(armour))
}

/// What text looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// An object or an array comes first.
    Json,
    /// Names and values as a form sends them.
    Form,
    /// Lines of an event stream.
    Events,
    /// Parts, behind lines of this boundary.
    Multipart(Vec<u8>),
    /// A message with header fields that mail has.
    Mail,
    /// Text with columns in it.
    Columns(Layout),
    /// Lines of as many cells as there are names in the first.
    Table,
    /// None of these.
    Text,
}

/// Names of fields that messages in a file begin with.
const MAIL: [&[u8]; 11] = [
    b"return-path:",
    b"received:",
    b"delivered-to:",
    b"mime-version:",
    b"message-id:",
    b"dkim-signature:",
    b"from:",
    b"to:",
    b"subject:",
    b"date:",
    b"content-type:",
];

/// The look of the first bytes of a text, without a byte order mark.
pub(crate) fn look(start: &[u8]) -> Look {
    let text = start.trim_ascii_start();
    if matches!(text.first(), Some(b'{' | b'[')) && !text.starts_with(b"{\\rtf") {
        return Look::Json;
    }
    if let Some(boundary) = boundary(text) {
        return Look::Multipart(boundary);
    }
    if [&b"data:"[..], b"event:", b"id:", b"retry:"].iter().any(|name| start.starts_with(name)) {
        return Look::Events;
    }
    match () {
        () if is_mail(start, true) == Some(true) => Look::Mail,
        () if is_html(start) => Look::Columns(Layout::Html),
        () if is_sql(start) => Look::Columns(Layout::Sql),
        () if is_form(start) => Look::Form,
        () if is_table(start) => Look::Table,
        () => Look::Text,
    }
}

/// What HTML with a table in it begins with.
const HTML: [&[u8]; 3] = [b"<!doctype html", b"<html", b"<table"];
/// What statements that hold values begin with.
const SQL: [&[u8]; 2] = [b"insert into", b"copy "];

/// Whether a text starts with one of these, whatever the case of its letters.
fn starts(text: &[u8], with: &[&[u8]]) -> bool {
    with.iter().any(|start| text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start)))
}

fn is_html(start: &[u8]) -> bool {
    (0..start.len()).any(|at| start[at] == b'<' && starts(&start[at..], &HTML))
}

fn is_sql(start: &[u8]) -> bool {
    start.split(|byte| *byte == b'\n').any(|line| starts(line.trim_ascii_start(), &SQL))
}

/// The columns of what says that it is plain text and begins as text with columns does; `None` where more bytes are needed to
/// know, which is only where what is there looks like it.
pub(crate) fn plain_columns(start: &[u8], last: bool) -> Option<Option<Layout>> {
    let text = start[..start.len().min(MOST)].trim_ascii_start();
    let cut = |with: &[&[u8]]| {
        with.iter().any(|start| text.len() < start.len() && start[..text.len()].eq_ignore_ascii_case(text))
    };
    match () {
        () if starts(text, &HTML) => Some(Some(Layout::Html)),
        () if starts(text, &SQL) => Some(Some(Layout::Sql)),
        () if (cut(&HTML) || cut(&SQL)) && !last && start.len() < MOST => None,
        () => Some(None),
    }
}

/// The boundary of a multipart body that starts with its first delimiter: a header field has to follow.
fn boundary(text: &[u8]) -> Option<Vec<u8>> {
    let rest = text.strip_prefix(b"--")?;
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let boundary = rest[..end].trim_ascii_end();
    let next = rest[end..].strip_prefix(b"\r\n").or(rest[end..].strip_prefix(b"\n"))?;
    let field = next.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"content-"));
    let fits =
        (1..=70).contains(&boundary.len()) && boundary.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (field && fits).then(|| boundary.to_vec())
}

/// Whether two header fields come first that mail has; `None` where more bytes are needed to know, which is only where what is
/// there looks like them.
pub(crate) fn is_mail(start: &[u8], last: bool) -> Option<bool> {
    let known =
        |line: &[u8]| MAIL.iter().any(|name| line.len() >= name.len() && line[..name.len()].eq_ignore_ascii_case(name));
    let begins =
        |line: &[u8]| MAIL.iter().any(|name| name.len() > line.len() && name[..line.len()].eq_ignore_ascii_case(line));
    let start = &start[..start.len().min(MOST)];
    let whole = last || start.len() == MOST;
    let mut rest = start;
    for _ in 0..2 {
        if !known(rest) {
            return if begins(rest) && !whole { None } else { Some(false) };
        }
        // Behind the lines that continue the field.
        let continues = |at: usize| matches!(rest.get(at + 1), Some(b' ' | b'\t'));
        match (0..rest.len()).find(|at| rest[*at] == b'\n' && !continues(*at)) {
            Some(end) => rest = &rest[end + 1..],
            None => return if whole { Some(false) } else { None },
        }
    }
    Some(true)
}

/// Whether the first lines are those of a table: names in the first one, as many cells in the second one.
fn is_table(start: &[u8]) -> bool {
    let mut lines = start.split(|byte| *byte == b'\n');
    let (Some(names), Some(cells), Some(_)) = (lines.next(), lines.next(), lines.next()) else { return false };
    let count = |line: &[u8], of: u8| line.iter().filter(|byte| **byte == of).count();
    let named = !names.iter().any(|byte| byte.is_ascii_digit() || b"<>{}=:".contains(byte));
    let parted = [(b';', 1), (b'\t', 1), (b',', 2)].iter().any(|(delimiter, least)| {
        let parts = count(names, *delimiter);
        parts >= *least && parts == count(cells, *delimiter)
    });
    named && parted
}

/// Whether all of it is names and values of a form, with an escape or a second pair in it.
fn is_form(start: &[u8]) -> bool {
    let start = start.trim_ascii_end();
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~*+%&=[]!'(),:@/".contains(byte);
    let name = start.iter().position(|byte| matches!(byte, b'=' | b'&'));
    let named = name.is_some_and(|end| end > 0 && start[end] == b'=');
    named && start.iter().all(fits) && start.iter().any(|byte| matches!(byte, b'&' | b'%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_numbers() {
        for (start, kind) in [
            (&b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR"[..], Some(Binary::Image)),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some(Binary::Image)),
            (b"RIFF\x10\0\0\0WAVEfmt ", Some(Binary::Media)),
            (b"\0\0\0\x20ftypisom", Some(Binary::Media)),
            (b"\0\0\0\x20ftypavif", Some(Binary::Image)),
            (b"BM\x10\x20\0\0\0\0\0\0", Some(Binary::Image)),
            (b"\xFF\xFB\x90\x44\0\0", Some(Binary::Media)),
            (b"\x1F\x8B\x08\0", Some(Binary::Closed)),
            (b"{\"a\":1}", None),
            (b"BM og mer", None),
            (b"BZh er text", None),
            (b"\xFF\xFEa\0", None),
        ] {
            assert_eq!(magic(start), kind, "{start:?}");
        }
    }

    #[test]
    fn looks() {
        let multipart = Look::Multipart(b"x y".to_vec());
        for (start, expected) in [
            (" [1", Look::Json),
            ("{\\rtf1 a", Look::Text),
            ("--x y\r\nContent-Disposition: form-data", multipart),
            ("--x\r\nHei", Look::Text),
            ("data: 1\n", Look::Events),
            ("Subject: a\r\nTo: b\r\n", Look::Mail),
            ("Received: a\r\n\tb\r\nFrom: b\r\n", Look::Mail),
            ("To: do\n- b", Look::Text),
            ("navn;tlf\nKari;98765432\n", Look::Table),
            ("Hei, du, der\nja, det er meg\n", Look::Text),
            ("a=1&b=2", Look::Form),
            ("a=%40", Look::Form),
            ("a=1", Look::Text),
            ("hei = du & jeg", Look::Text),
            ("<p>Hei</p><TABLE>", Look::Columns(Layout::Html)),
            ("-- a\ninsert into a", Look::Columns(Layout::Sql)),
        ] {
            assert_eq!(look(start.as_bytes()), expected, "{start}");
        }
    }

    #[test]
    fn text_and_binary() {
        assert!(is_binary(b"\x01a") && is_binary(b"\x82\x9A\xFF\xFE"));
        assert!(!is_binary(b"p\xE5") && magic(b"\x28\xB5\x2F\xFD") == Some(Binary::Closed));
        assert!(!is_binary("blåbær".as_bytes()) && !is_binary(b"bl\xE5b\xE6r og mer") && !is_binary(b"\x1B[1m"));
    }
}
