//! `Max-Forwards` (RFC 9110 section 7.6.2): how many more proxies an OPTIONS request may pass. TRACE, the other method
//! that has it, is not served.

use http::HeaderValue;

use crate::error::{Error, ErrorKind};
use crate::message::{FieldMap, known};

/// Counts an OPTIONS request's `Max-Forwards` down. True where it was 0: the request goes no further, and who has it
/// answers it. Without the field nothing happens.
///
/// # Errors
/// What is not one number: a count that every hop reads differently ends no loop.
pub fn count_down(headers: &mut FieldMap) -> Result<bool, Error> {
    let mut values = headers.get_all(&known::MAX_FORWARDS);
    let Some(value) = values.next() else { return Ok(false) };
    let digits = value.expose_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let (Some(digits), None) = (digits, values.next()) else {
        return Err(Error::new(ErrorKind::BadRequest, "a Max-Forwards that is not one number"));
    };
    // "the lesser of a) the received value decremented by one and b) the recipient's maximum": as much as can be counted.
    let left = digits.parse::<u32>().unwrap_or(u32::MAX);
    drop(values);
    if left > 0 {
        headers.insert(known::MAX_FORWARDS, HeaderValue::from(left - 1));
    }
    Ok(left == 0)
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn counted(values: &[&str]) -> (Option<bool>, Option<String>) {
        let mut headers = FieldMap::new();
        for value in values {
            headers.append(header::MAX_FORWARDS, HeaderValue::from_str(value).unwrap());
        }
        let here = count_down(&mut headers).ok();
        (here, headers.get(header::MAX_FORWARDS).map(|value| value.expose_str().unwrap().to_owned()))
    }

    #[test]
    fn hops_are_counted_down_to_the_last_one() {
        for (value, here, left) in [
            ("0", true, "0"),
            ("00", true, "00"),
            ("1", false, "0"),
            ("10", false, "9"),
            ("99999999999999999999", false, "4294967294"),
        ] {
            assert_eq!(counted(&[value]), (Some(here), Some(left.to_owned())), "{value}");
        }
        assert_eq!(counted(&[]), (Some(false), None));
    }

    #[test]
    fn what_is_not_one_number_is_refused() {
        for values in [&["-1"][..], &["1.5"], &[""], &["1, 2"], &["x"], &["1", "1"], &["+1"]] {
            assert_eq!(counted(values).0, None, "{values:?}");
        }
    }
}
