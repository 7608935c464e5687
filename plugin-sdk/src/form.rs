//! What queries and cookies are written in.

use std::borrow::Cow;

use crate::encoding::digit;

/// The values of a cookie in a Cookie field.
pub(crate) fn cookies_of(field: &str, name: &str) -> Vec<String> {
    let pairs = field.split(';').filter_map(|pair| pair.split_once('='));
    let values = pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    values
        .map(|value| value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value).to_owned())
        .collect()
}

/// A part of `application/x-www-form-urlencoded`; broken escapes stay as they are.
pub(crate) fn form_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped =
            (byte == b'%').then(|| Some((digit(*bytes.get(at + 1)?)? << 4) | digit(*bytes.get(at + 2)?)?)).flatten();
        match escaped {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    match String::from_utf8_lossy(&out) {
        Cow::Owned(text) => text,
        Cow::Borrowed(text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_broken_escapes_stay() {
        assert_eq!(form_decode("a+b%20c%c3%a6"), "a b cæ");
        assert_eq!(form_decode("100%"), "100%");
        assert_eq!(form_decode("%4"), "%4");
        assert_eq!(form_decode("%zz%40"), "%zz@");
        assert_eq!(form_decode("%+1"), "% 1");
    }

    #[test]
    fn all_cookies_of_a_name_are_found_and_no_others() {
        let found = |field, name| cookies_of(field, name).join("|");
        assert_eq!(found("a=1; b=\"x=y\";a= 2", "a"), "1|2");
        assert_eq!(found("a=1; b=\"x=y\"; aa=3", "b"), "x=y");
        assert_eq!(found("a; =1; c=3", "a"), "");
    }
}
