//! E-mail addresses, without address literals: `kari.nordmann+shop@example.no`, `bjørn@blåbær.no`, `"kari n"@example.no`
//! (RFC 5321 section 4.1.2, RFC 6531 for letters outside ASCII).

use super::{Candidate, NeedMore, Verdict, is_word};

/// RFC 5321 section 4.5.3.1 allows 64; addresses that encode others (VERP) are longer in the wild.
pub const LONGEST_LOCAL: usize = 128;
const LONGEST_DOMAIN: usize = 253;
/// Quotes are looked behind no further, because most of them don't start an address.
pub const LONGEST_QUOTED: usize = 66;
/// An owner or folder before the slash in the path of a repository.
const LONGEST_OWNER: usize = 64;
/// Endings of files that are no top-level domains: `icon@2x.png`.
const FILES: [&str; 25] = [
    "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "bmp", "ico", "heic", "webm", "css", "scss", "js", "mjs",
    "cjs", "jsx", "tsx", "json", "html", "xml", "yaml", "yml", "pdf", "tgz",
];

/// The length of an address that starts here. It starts with a letter, digit or underscore, or is quoted; what else RFC 5322
/// allows there (braces, `=`, `?`) more often is punctuation around the address than a part of it.
pub fn find(candidate: &Candidate<'_>) -> Verdict {
    if candidate.before.is_word() {
        return Ok(None);
    }
    let at = match candidate.at(0)? {
        Some(b'"') => match quoted(candidate)? {
            Some(end) => end,
            None => return Ok(None),
        },
        Some(byte) if may_start(byte) => match local(candidate)? {
            Some(end) => end,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    match domain(candidate, at + 1)? {
        Some(end) if is_repository(candidate, at, end)? => Ok(None),
        Some(end) if candidate.text[at..end].is_ascii() && is_preceded(candidate, at) => Ok(None),
        found => Ok(found),
    }
}

/// The end of a local part of the common form, before its `@`. One slash may be in it; more, or one before it, are a path's.
fn local(candidate: &Candidate<'_>) -> Verdict {
    let (mut at, mut slashes) = (0, usize::from(candidate.before.at(0) == b'/'));
    loop {
        match candidate.at(at)? {
            Some(b'@') => return Ok((slashes < 2 || !candidate.text[..at].contains(&b'/')).then_some(at)),
            Some(byte) if at < LONGEST_LOCAL && is_local(byte) => {
                slashes += usize::from(byte == b'/');
                at += 1;
            }
            _ => return Ok(None),
        }
    }
}

/// Whether what stands here, up to `end`, is text of a script without spaces and then an address in ASCII: `请写信kari@…`.
fn is_preceded(candidate: &Candidate<'_>, end: usize) -> bool {
    let local = &candidate.text[..end];
    let wide = local.iter().position(u8::is_ascii).unwrap_or(0);
    is_ideograph(local[0]) && wide > 0 && local[wide..].is_ascii() && local[wide].is_ascii_alphanumeric()
}

/// The end of a quoted local part (RFC 5321 section 4.1.2), before its `@`.
fn quoted(candidate: &Candidate<'_>) -> Verdict {
    let mut at = 1;
    while at <= LONGEST_QUOTED {
        match candidate.at(at)? {
            Some(b'"') => return Ok((at > 1 && candidate.at(at + 1)? == Some(b'@')).then_some(at + 1)),
            Some(b'\\') => at += 2,
            Some(b' '..=b'~' | 0x80..) => at += 1,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// `git@host:owner/name`, `user@host:owner/name` and `ssh://git@host/…` are where a repository is, and nobody's address.
fn is_repository(candidate: &Candidate<'_>, local: usize, end: usize) -> Result<bool, NeedMore> {
    let before = &candidate.before;
    let versions = matches!(&candidate.text[..local], b"git" | b"hg" | b"svn");
    if [0, 1, 2].map(|index| before.at(index)) == *b"//:" {
        let follows =
            |scheme: &[u8]| scheme.iter().rev().enumerate().all(|(index, byte)| before.at(index + 3) == *byte);
        if versions || [&b"ssh"[..], b"git", b"git+https", b"git+http", b"sftp"].into_iter().any(follows) {
            return Ok(true);
        }
    }
    if candidate.at(end)? != Some(b':') {
        return Ok(false);
    }
    let path = |byte: u8| is_word(byte) || matches!(byte, b'~' | b'.' | b'-');
    let mut next = end + 1;
    while next <= end + LONGEST_OWNER && candidate.at(next)?.is_some_and(path) {
        next += 1;
    }
    let slash = candidate.at(next)? == Some(b'/');
    Ok(if versions { slash || next > end + 1 } else { slash && next > end + 1 })
}

/// How many bytes from here on can't be the start of an address: their local part would be too long, no `@` follows it, or
/// no domain follows that. A hint that spares asking again; 0 where nothing is known.
pub fn barren(candidate: &Candidate<'_>) -> usize {
    let run = candidate.text.iter().take_while(|byte| is_local(**byte)).count();
    match candidate.text.get(run) {
        Some(b'@') if run <= LONGEST_LOCAL && domain(candidate, run + 1) == Ok(None) => run,
        Some(byte) if *byte != b'@' => run,
        _ => run.saturating_sub(LONGEST_LOCAL),
    }
}

/// Reads labels; the address ends behind the last label that may end a domain: two letters or more, or an IDN label. What
/// starts like a version (`name@2.8.0-dev.rc`) is none.
fn domain(candidate: &Candidate<'_>, start: usize) -> Result<Option<usize>, NeedMore> {
    let (mut index, mut label, mut found) = (start, start, None);
    let (mut dots, mut numbers) = (0, 0);
    loop {
        let byte = candidate.at(index)?;
        match byte {
            Some(byte) if index - start < LONGEST_DOMAIN && is_label(byte) => index += 1,
            _ => {
                let end = label_end(candidate.text, label, index);
                let number = candidate.text[label..end].iter().all(u8::is_ascii_digit);
                numbers += usize::from(number && dots < 2);
                if numbers == 2 {
                    return Ok(None);
                }
                if dots > 0 && is_top_level(&candidate.text[label..end]) {
                    found = Some(end);
                }
                if byte != Some(b'.') || end != index || label == index || index - start >= LONGEST_DOMAIN {
                    return Ok(found);
                }
                dots += 1;
                index += 1;
                label = index;
            }
        }
    }
}

/// Whether an address may start with this byte, quotes aside.
pub fn may_start(byte: u8) -> bool {
    is_word(byte) || is_wide_letter(byte)
}

/// Lead bytes of longer UTF-8 sequences that mostly are letters: Indic, Thai, Georgian and Vietnamese ones, ideographs and
/// Hangul. Between them stand punctuation and symbols.
fn is_wide_letter(byte: u8) -> bool {
    matches!(byte, 0xE0 | 0xE1 | 0xE4..=0xED)
}

/// Lead bytes of ideographs, kana and Hangul, which are written without spaces beside words of ASCII.
fn is_ideograph(byte: u8) -> bool {
    matches!(byte, 0xE3..=0xED)
}

/// A label doesn't end with a hyphen. One of letters in ASCII ends before ideographs, which are the text behind it.
fn label_end(text: &[u8], label: usize, mut end: usize) -> usize {
    let wide = text[label..end].iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(0);
    if wide > 1 && is_ideograph(text[label + wide]) {
        return label + wide;
    }
    while end > label && text[end - 1] == b'-' {
        end -= 1;
    }
    end
}

fn is_top_level(label: &[u8]) -> bool {
    let letters = |label: &[u8]| label.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
    let idn = label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"xn--"));
    let file = FILES.iter().any(|file| label.eq_ignore_ascii_case(file.as_bytes()));
    label.len() >= 2 && (letters(label) || idn) && !file
}

fn is_label(byte: u8) -> bool {
    (may_start(byte) && byte != b'_') || byte == b'-' || matches!(byte, 0x80..=0xBF)
}

fn is_local(byte: u8) -> bool {
    may_start(byte)
        || matches!(byte, 0x80..=0xBF)
        || matches!(byte, b'/' | b'.' | b'+' | b'-' | b'%' | b'\'' | b'!' | b'#' | b'$' | b'*' | b'^' | b'~' | b'`')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        find(&Candidate::whole(text.as_bytes())).unwrap().map(|length| &text[..length])
    }

    #[test]
    fn addresses() {
        for text in [
            "kari@example.no",
            "kari.nordmann+shop@mail.example.co.uk",
            "o'brien@example.ie",
            "12018412345@example.com",
            "bjørn@blåbær.no",
            "a@xn--blbr-0fah.no",
            "_@b.no",
            "nguyễn@example.vn",
            "用户@例子.广告",
            "łukasz@example.pl",
            "\"kari nordmann\"@example.no",
            "\"a\\\"b@c\"@example.no",
            "kari/oslo@example.no",
        ] {
            assert_eq!(found(text), Some(text));
        }
    }

    #[test]
    fn text_without_spaces_around_it_stays() {
        let text = "请写信kari@example.no给我们";
        let start = text.find('k').unwrap();
        assert_eq!(found(text), None);
        let behind = Candidate::behind(&text.as_bytes()[..start], &text.as_bytes()[start..]);
        assert_eq!(find(&behind), Ok(Some(15)));
        assert_eq!(found("kari@example.no。"), Some("kari@example.no"));
        assert_eq!(found("用户1@例子.广告"), Some("用户1@例子.广告"));
    }

    #[test]
    fn punctuation_after_it_stays() {
        assert_eq!(found("kari@example.no."), Some("kari@example.no"));
        assert_eq!(found("kari@example.no, and"), Some("kari@example.no"));
        assert_eq!(found("kari@example.no>"), Some("kari@example.no"));
        assert_eq!(found("kari@example.no-"), Some("kari@example.no"));
        assert_eq!(found("kari@example.no..x"), Some("kari@example.no"));
        assert_eq!(found("kari@example.no/path"), Some("kari@example.no"));
        assert_eq!(found("kari@example.no.png"), Some("kari@example.no"));
        assert_eq!(found("git@example.no: hei"), Some("git@example.no"));
        assert_eq!(found("kari@example.no:x"), Some("kari@example.no"));
        assert_eq!(find(&Candidate::behind(b"https://", b"x.no/kari@example.no")), Ok(None));
        assert_eq!(find(&Candidate::behind(b"x.no/", b"kari@example.no")), Ok(Some(15)));
        assert_eq!(find(&Candidate::behind(b"proto://", b"kari@example.no:owner/name")), Ok(None));
        for scheme in ["ssh://", "git+https://"] {
            assert_eq!(find(&Candidate::behind(scheme.as_bytes(), b"kari@example.no/x.git")), Ok(None));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "kari@localhost",
            "@example.no",
            "kari@",
            "kari@.no",
            "kari @example.no",
            "kari@1.2.3.4",
            ".kari@x.no",
            "kari",
            "icon@2x.png",
            "icon@1.5x.svg",
            "name@2.8.0-dev",
            "name@2.8.0-dev.rc",
            "name@18.x",
            "git@github.com:owner/name.git",
            "git@example.no:~kari/x",
            "kari@example.no:owner/name",
            "x@y.1a",
            "\"\"@example.no",
            "\"kari\" @example.no",
            "\"kari@example.no\"",
            "a/b/c@example.no",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        assert_eq!(found(&format!("{}@example.no", "a".repeat(129))), None);
    }

    #[test]
    fn where_an_address_can_not_start_is_known_for_the_whole_local_part() {
        let long = "1-".repeat(80);
        let cases = [
            ("123,", 3),
            ("1-2-3@x,", 5),
            ("1-2-3@x", 0),
            ("1-2-3@x.no,", 0),
            (&long, 160 - 128),
            (&format!("{long}@x.no"), 160 - 128),
            (&format!("{long},"), 160),
        ];
        for (text, barren_bytes) in cases {
            let cut = Candidate { text: text.as_bytes(), complete: false, before: super::super::Before::NOTHING };
            assert_eq!(barren(&cut), barren_bytes, "{text}");
            for at in 0..barren_bytes {
                let candidate = Candidate::behind(&text.as_bytes()[..at], &text.as_bytes()[at..]);
                assert_eq!(find(&candidate), Ok(None), "{text} from {at}");
            }
        }
    }

    #[test]
    fn waits_for_the_end_of_the_domain() {
        for text in ["kari", "kari@", "kari@exa", "kari@example.n", "kari@example.no", "kari@example.no."] {
            let cut = Candidate { text: text.as_bytes(), complete: false, before: super::super::Before::NOTHING };
            assert_eq!(find(&cut), Err(NeedMore), "{text}");
        }
    }
}
