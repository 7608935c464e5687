//! What reads a body, by what its head says and by its first bytes.

use super::charset::{Charset, Label};
use super::declared::{Declared, Kind};
use super::sniff::{self, Binary, Look};
use crate::content::Format;

/// A byte order mark, which goes before what a label says (WHATWG Encoding standard, section 6).
const UTF_8_MARK: &[u8] = b"\xEF\xBB\xBF";
/// First bytes of what says that it is UTF-16 or UTF-32 in which there must be a sign of it.
const WIDE: usize = 64;

/// How compressed, encrypted and packed content begins that is called text. Most of it looks like text for two bytes. The last
/// three are zlib (RFC 1950 section 2.2), which who speaks HTTP calls `deflate`.
const DISGUISED: [&[u8]; 13] = [
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"%PDF-",
    b"7z\xBC\xAF\x27\x1C",
    b"Rar!\x1A\x07",
    b"\xFD7zXZ\0",
    b"Salted__",
    b"BZh91AY&SY",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN AGE ENCRYPTED FILE-----",
    b"x\x01",
    b"x\x9C",
    b"x\xDA",
];

/// What the first bytes decide.
pub(super) enum Decision {
    Charset(Charset),
    Read(Kind),
    /// It says so, and has bytes in it that no text has: better too much is read than too little.
    Doubtful(Kind),
    Unread,
    Unreadable,
}

/// What the first bytes say; `None` where more are needed. More bytes never change what fewer have said.
pub(super) fn decide(declared: &Declared, start: &[u8], last: bool) -> Option<Decision> {
    match &declared.kind {
        Kind::Unreadable => Some(Decision::Unreadable),
        Kind::Sniffed => sniffed(declared.label, start, last),
        Kind::Binary(kind) => {
            let start = &start[..start.len().min(sniff::MOST)];
            if start.len() < sniff::MOST && !last {
                return None;
            }
            match sniff::magic(start) {
                // Documents, whatever says so: they hold text that isn't read.
                Some(Binary::Pdf | Binary::Zip) => Some(Decision::Unreadable),
                Some(found) if found == *kind => Some(Decision::Unread),
                _ => sniffed(declared.label, start, true),
            }
        }
        Kind::Plain => {
            let decision = labelled(&declared.kind, declared.label, start, last)?;
            match decision {
                // Two bytes were enough for that, but not for this.
                Decision::Read(_) => Some(Decision::Read(match sniff::is_mail(start, last)? {
                    true => Kind::Message,
                    false => match sniff::plain_columns(start, last)? {
                        Some(layout) => Kind::Columns(layout),
                        None => Kind::Read(Format::Text),
                    },
                })),
                decision => Some(decision),
            }
        }
        kind => labelled(kind, declared.label, start, last),
    }
}

/// What says that it is text, and is: two bytes are enough where they are ASCII, and one of an event stream, of which nothing
/// may wait.
fn labelled(kind: &Kind, label: Label, start: &[u8], last: bool) -> Option<Decision> {
    let ascii = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    let read = || Some(Decision::Read(kind.clone()));
    let enough = if *kind == Kind::Read(Format::Events) { 1 } else { 2 };
    if label == Label::Ascii {
        if DISGUISED.iter().any(|mark| start.starts_with(mark)) {
            return Some(Decision::Doubtful(kind.clone()));
        }
        if !last && DISGUISED.iter().any(|mark| mark.starts_with(start)) {
            return None;
        }
    }
    match label {
        Label::Ascii if start.len() >= enough && start[..enough].iter().all(ascii) => return read(),
        _ if start.len() < 4 && !last => return None,
        _ => {}
    }
    if label.is_wide() && !start.starts_with(UTF_8_MARK) {
        return wide(label, start, last).map(|charset| match charset {
            Some(charset) => Decision::Charset(charset),
            None => Decision::Doubtful(kind.clone()),
        });
    }
    let start = &start[..start.len().min(4)];
    if let Some(charset) = Charset::sniffed(start) {
        return Some(Decision::Charset(charset));
    }
    // A JSON text sequence begins with a control character (RFC 7464).
    let control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, 9..=13 | 0x1B | 0x1E);
    Some(match label {
        _ if sniff::magic(start).is_some() => Decision::Unreadable,
        _ if start.iter().any(control) => Decision::Doubtful(kind.clone()),
        Label::Known(charset) if !start.starts_with(UTF_8_MARK) => Decision::Charset(charset),
        _ => Decision::Read(kind.clone()),
    })
}

/// The charset of what says that it is UTF-16 or UTF-32, by its byte order mark and its zero bytes. `Some(None)`: nothing but ASCII
/// comes first, so that those who don't believe it see something else than those who do.
fn wide(label: Label, start: &[u8], last: bool) -> Option<Option<Charset>> {
    if let Some(found) = Charset::sniffed(&start[..start.len().min(4)]) {
        return Some(Some(found));
    }
    let start = &start[..start.len().min(WIDE)];
    if start.iter().all(|byte| byte.is_ascii() && *byte != 0) {
        return if start.len() < WIDE && !last { None } else { Some(None) };
    }
    Some(Some(match label {
        Label::Known(charset) => charset,
        Label::Unordered { wide: true } => Charset::Utf32Le,
        // As the WHATWG Encoding standard has it.
        _ => Charset::Utf16Le,
    }))
}

/// What nothing is said of.
fn sniffed(label: Label, start: &[u8], last: bool) -> Option<Decision> {
    let text = start.trim_ascii_start();
    if label == Label::Ascii
        && let Some(b'{' | b'[') = text.first()
        && let Some([second, ..]) = text.get(1..)
        && *second != 0
        && !b"{\\rtf".starts_with(&text[..text.len().min(5)])
        && start.len() - text.len() < sniff::MOST
    {
        return Some(Decision::Read(Kind::Read(Format::Json)));
    }
    if start.len() < sniff::MOST && !last {
        return None;
    }
    let start = &start[..start.len().min(sniff::MOST)];
    if let Some(kind) = sniff::magic(start) {
        let closed = matches!(kind, Binary::Closed | Binary::Pdf | Binary::Zip);
        return Some(if closed { Decision::Unreadable } else { Decision::Unread });
    }
    if let Some(charset) = Charset::sniffed(start) {
        return Some(Decision::Charset(charset));
    }
    if sniff::is_binary(start) || sniff::is_encrypted(start) {
        return Some(Decision::Unreadable);
    }
    match label {
        // It shows no sign of what it says.
        _ if label.is_wide() => return Some(Decision::Doubtful(Kind::Read(Format::Text))),
        Label::Known(charset) => return Some(Decision::Charset(charset)),
        Label::Unreadable => return Some(Decision::Unreadable),
        _ => {}
    }
    Some(Decision::Read(match sniff::look(start.strip_prefix(UTF_8_MARK).unwrap_or(start)) {
        Look::Json => Kind::Read(Format::Json),
        Look::Form => Kind::Read(Format::Form),
        Look::Events => Kind::Read(Format::Events),
        Look::Multipart(boundary) => Kind::Multipart { boundary, digest: false },
        Look::Mail => Kind::Message,
        Look::Columns(layout) => Kind::Columns(layout),
        Look::Table => Kind::Table(None),
        Look::Text => Kind::Read(Format::Text),
    }))
}
