//! JSON, written (RFC 8259). Every text is escaped here, so that none can be anything but a text.

/// A list of what `write` makes of each item.
pub(super) fn list<T>(into: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    into.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            into.push(b',');
        }
        write(into, item);
    }
    into.push(b']');
}

/// A text in quotation marks, escaped where section 7 wants it.
pub(super) fn text(into: &mut Vec<u8>, text: &str) {
    into.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        into.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => into.extend_from_slice(b"\\\""),
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            control => {
                into.extend_from_slice(b"\\u00");
                into.extend_from_slice(&hex(control));
            }
        }
    }
    into.extend_from_slice(&text.as_bytes()[plain..]);
    into.push(b'"');
}

/// An identifier in lower-case hexadecimal digits and quotation marks.
pub(super) fn identifier(into: &mut Vec<u8>, bytes: &[u8]) {
    into.push(b'"');
    for byte in bytes {
        into.extend_from_slice(&hex(*byte));
    }
    into.push(b'"');
}

/// A number.
pub(super) fn number(into: &mut Vec<u8>, number: u64) {
    into.extend_from_slice(number.to_string().as_bytes());
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Members of an object, one after the other.
pub(super) struct Object<'a> {
    into: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn new(into: &'a mut Vec<u8>) -> Self {
        into.push(b'{');
        Self { into, is_empty: true }
    }

    /// Begins a member, whose value has to follow.
    pub(super) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.into.push(b',');
        }
        self.is_empty = false;
        text(self.into, name);
        self.into.push(b':');
        self.into
    }

    /// Ends it.
    pub(super) fn end(self) {
        self.into.push(b'}');
    }
}
