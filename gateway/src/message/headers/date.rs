//! `Date`, formatted once a second per worker.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use crate::message::{FieldMap, known};

thread_local! {
    static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))) };
}

/// Adds `Date` where the response has none (RFC 9110 section 6.6.1). Most have one: the clock is asked only for others.
pub fn set_date(headers: &mut FieldMap, now: impl FnOnce() -> SystemTime) {
    if !headers.contains_key(known::DATE) {
        headers.insert(known::DATE, date(now()));
    }
}

fn date(now: SystemTime) -> HeaderValue {
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    LAST.with_borrow_mut(|(last, value)| {
        if *last != second {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            if let Ok(new) = HeaderValue::from_str(&text) {
                (*last, *value) = (second, new);
            }
        }
        value.clone()
    })
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn the_date_follows_the_clock_and_is_kept_where_present() {
        for (second, text) in [(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT")] {
            let mut headers = FieldMap::new();
            set_date(&mut headers, || UNIX_EPOCH + Duration::from_secs(second));
            assert_eq!(headers.text(header::DATE), text);
            set_date(&mut headers, || UNIX_EPOCH + Duration::from_secs(1));
            assert_eq!(headers.text(header::DATE), text);
        }
    }
}
