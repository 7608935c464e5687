//! Values that are found wherever they come out.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};

/// The marked values that have gone in, with the inputs that they went through.
#[derive(Default)]
pub(super) struct Marks(pub(super) Vec<(String, String)>);

impl Marks {
    /// A value for an input, of the next shape.
    pub(super) fn mark(&mut self, input: impl Into<String>) -> String {
        let shape = self.0.len() % 4;
        self.shaped(input, shape)
    }

    /// One of letters alone, which may be a part of a name.
    pub(super) fn letters(&mut self, input: impl Into<String>) -> String {
        self.shaped(input, 0)
    }

    pub(super) fn shaped(&mut self, input: impl Into<String>, shape: usize) -> String {
        // Like nothing else in an output, and different for each input.
        let number = 7_919_u64 * (self.0.len() as u64 + 101);
        let letters: String = format!("{number:09}").bytes().map(|digit| char::from(b'k' + (digit - b'0'))).collect();
        let value = match shape {
            0 => format!("zq{letters}"),
            1 => format!("47{number:09}"),
            2 => format!("{letters}@kanari.example"),
            _ => format!("{:x}ab7f{number:x}", number * 31),
        };
        self.0.push((input.into(), value.clone()));
        value
    }
}

/// What a value may look like in an output.
pub(super) fn forms(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let percent = bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    });
    // Wherever it stands in a longer text.
    let encoded = (0..3).map(|before| {
        let text = BASE64_STANDARD.encode([&b"xyz"[..before], bytes, b"xyz"].concat());
        text[4..text.len() - 8].to_owned()
    });
    let plain = [value.to_owned(), value.to_lowercase(), value.to_uppercase(), hex, percent, value.replace('@', "%40")];
    plain.into_iter().chain(encoded).collect()
}

/// Where marked values are in outputs; each output has something to look through.
pub(super) fn find(marks: &Marks, outputs: &[(&'static str, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (output, text) in outputs {
        assert!(text.len() > 30, "{output} is empty: {text}");
        for (input, value) in &marks.0 {
            if let Some(form) = forms(value).into_iter().find(|form| text.contains(form.as_str())) {
                let line = text.lines().find(|line| line.contains(&form)).unwrap_or_default();
                found.push(format!("{input} ({form}) in {output}: {line}"));
            }
        }
    }
    found
}
