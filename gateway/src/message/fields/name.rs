//! Names of fields: those that are well known are numbers, so that most comparisons are of a byte.

use std::fmt;

use http::HeaderName;

use crate::sensitive::NOT_SHOWN;

macro_rules! known {
    ($($name:ident $text:literal),* $(,)?) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u8)]
        enum Number { NONE, $($name),* }

        /// The names that have a number. They are what gateways meet all day; any other name serves as well.
        pub mod known {
            use super::{KnownName, Number};
            $(#[doc = concat!("`", $text, "`.")] pub const $name: KnownName = KnownName(Number::$name as u8);)*
        }

        /// The names, each at its number's place.
        static NAMES: [HeaderName; TEXTS.len()] = [$(HeaderName::from_static($text)),*];
        const TEXTS: &[&str] = &[$($text),*];

        /// The number of a name in lower case; 0 where it has none.
        fn number(name: &[u8]) -> u8 {
            $(const $name: &[u8] = $text.as_bytes();)*
            match name {
                $($name => Number::$name as u8,)*
                _ => Number::NONE as u8,
            }
        }
    };
}

known! {
    ACCEPT "accept", ACCEPT_ENCODING "accept-encoding", ACCEPT_LANGUAGE "accept-language", ACCEPT_RANGES "accept-ranges",
    ACCESS_CONTROL_ALLOW_CREDENTIALS "access-control-allow-credentials",
    ACCESS_CONTROL_ALLOW_HEADERS "access-control-allow-headers",
    ACCESS_CONTROL_ALLOW_METHODS "access-control-allow-methods", ACCESS_CONTROL_ALLOW_ORIGIN "access-control-allow-origin",
    ACCESS_CONTROL_EXPOSE_HEADERS "access-control-expose-headers", ACCESS_CONTROL_MAX_AGE "access-control-max-age",
    ACCESS_CONTROL_REQUEST_HEADERS "access-control-request-headers",
    ACCESS_CONTROL_REQUEST_METHOD "access-control-request-method",
    AGE "age", ALLOW "allow", ALT_SVC "alt-svc", AUTHORIZATION "authorization", CACHE_CONTROL "cache-control",
    CDN_LOOP "cdn-loop", CONNECTION "connection", CONTENT_DISPOSITION "content-disposition",
    CONTENT_ENCODING "content-encoding", CONTENT_LANGUAGE "content-language", CONTENT_LENGTH "content-length",
    CONTENT_LOCATION "content-location", CONTENT_RANGE "content-range",
    CONTENT_SECURITY_POLICY "content-security-policy", CONTENT_TYPE "content-type", COOKIE "cookie", DATE "date", DNT "dnt",
    ETAG "etag", EXPECT "expect", EXPIRES "expires", FORWARDED "forwarded", FROM "from", GRPC_ENCODING "grpc-encoding",
    GRPC_STATUS "grpc-status", HOST "host", HTTP2_SETTINGS "http2-settings", IF_MATCH "if-match",
    IF_MODIFIED_SINCE "if-modified-since", IF_NONE_MATCH "if-none-match", IF_RANGE "if-range",
    IF_UNMODIFIED_SINCE "if-unmodified-since", KEEP_ALIVE "keep-alive", LAST_MODIFIED "last-modified", LINK "link",
    LOCATION "location", MAX_FORWARDS "max-forwards", ORIGIN "origin", PRAGMA "pragma", PRIORITY "priority", PROXY "proxy",
    PROXY_AUTHENTICATE "proxy-authenticate", PROXY_AUTHENTICATION_INFO "proxy-authentication-info",
    PROXY_AUTHORIZATION "proxy-authorization", PROXY_CONNECTION "proxy-connection", PROXY_STATUS "proxy-status",
    RANGE "range", REFERER "referer", REFERRER_POLICY "referrer-policy", RETRY_AFTER "retry-after",
    SEC_CH_UA "sec-ch-ua", SEC_CH_UA_MOBILE "sec-ch-ua-mobile", SEC_CH_UA_PLATFORM "sec-ch-ua-platform",
    SEC_FETCH_DEST "sec-fetch-dest", SEC_FETCH_MODE "sec-fetch-mode", SEC_FETCH_SITE "sec-fetch-site",
    SEC_FETCH_USER "sec-fetch-user", SEC_WEBSOCKET_KEY "sec-websocket-key", SERVER "server",
    SERVER_TIMING "server-timing", SET_COOKIE "set-cookie", STRICT_TRANSPORT_SECURITY "strict-transport-security", TE "te",
    TRACEPARENT "traceparent", TRACESTATE "tracestate", TRAILER "trailer", TRANSFER_ENCODING "transfer-encoding",
    UPGRADE "upgrade", UPGRADE_INSECURE_REQUESTS "upgrade-insecure-requests", USER_AGENT "user-agent", VARY "vary",
    VIA "via", WWW_AUTHENTICATE "www-authenticate", X_CONTENT_TYPE_OPTIONS "x-content-type-options",
    X_FORWARDED_FOR "x-forwarded-for", X_FORWARDED_HOST "x-forwarded-host", X_FORWARDED_PROTO "x-forwarded-proto",
    X_FRAME_OPTIONS "x-frame-options", X_REAL_IP "x-real-ip", X_REQUEST_ID "x-request-id",
}

// A field map has a bit for each.
const _: () = assert!(TEXTS.len() < 128);

/// A name that has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownName(u8);

impl KnownName {
    /// The bit of a set of such names.
    pub(super) const fn bit(self) -> u128 {
        bit(self.0)
    }
}

/// The bit of a number in a set of such; none for 0.
pub(super) const fn bit(number: u8) -> u128 {
    if number == 0 { 0 } else { 1 << number }
}

/// Some of the well-known names.
#[derive(Clone, Copy, Debug)]
pub struct KnownNames(pub(super) u128);

impl KnownNames {
    /// These.
    pub const fn of(names: &[KnownName]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < names.len() {
            set |= names[index].bit();
            index += 1;
        }
        Self(set)
    }

    /// Whether this name is one of them.
    pub(super) const fn has(self, number: u8) -> bool {
        self.0 & bit(number) != 0
    }
}

/// All texts that have a number, for tests.
#[cfg(test)]
pub(crate) const fn known_texts() -> &'static [&'static str] {
    TEXTS
}

/// The text of a name that has a number.
pub(super) fn text_of(number: u8) -> &'static str {
    TEXTS.get(usize::from(number).wrapping_sub(1)).copied().unwrap_or_default()
}

/// The name of a field, in lower case. It is what the sender chose: nothing is printed of it unless it is well known.
///
/// ```
/// let name = gateway::message::FieldName::of(b"x-kari");
/// assert_eq!(format!("{name:?}"), "(not shown)");
/// ```
///
/// ```compile_fail
/// let name = gateway::message::FieldName::of(b"x-kari");
/// assert_eq!(format!("{name}"), "(not shown)");
/// ```
#[derive(Clone, Copy)]
pub struct FieldName<'a> {
    pub(super) number: u8,
    pub(super) text: &'a [u8],
}

impl<'a> FieldName<'a> {
    /// Of this text, a token in lower case.
    #[inline]
    pub fn of(text: &'a [u8]) -> Self {
        Self { number: number(text), text }
    }

    /// Its bytes, for work: not for anything that a person reads.
    #[inline]
    pub const fn expose(self) -> &'a [u8] {
        self.text
    }

    /// Its text, as [`Self::expose`].
    #[inline]
    pub fn expose_str(self) -> &'a str {
        // A token is ASCII.
        std::str::from_utf8(self.text).unwrap_or_default()
    }

    /// Whether it is this well-known one.
    #[inline]
    pub const fn is(self, known: KnownName) -> bool {
        self.number == known.0
    }

    /// Whether it is one of these.
    #[inline]
    pub const fn is_among(self, names: KnownNames) -> bool {
        names.has(self.number)
    }

    /// Whether it is a well-known one.
    #[inline]
    pub const fn is_known(self) -> bool {
        self.number != 0
    }

    /// The name as the `http` crate has it.
    pub fn to_header_name(self) -> HeaderName {
        match NAMES.get(usize::from(self.number).wrapping_sub(1)) {
            Some(name) => name.clone(),
            // What came or was added is a token. Should it be none, no name of use.
            None => HeaderName::from_bytes(self.text).unwrap_or(HeaderName::from_static("invalid")),
        }
    }
}

impl fmt::Debug for FieldName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A well-known name is a word of the code's; any other is the sender's.
        f.write_str(if self.is_known() { text_of(self.number) } else { NOT_SHOWN })
    }
}

impl PartialEq for FieldName<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number && (self.number != 0 || self.text == other.text)
    }
}

impl Eq for FieldName<'_> {}

impl PartialEq<HeaderName> for FieldName<'_> {
    fn eq(&self, other: &HeaderName) -> bool {
        self.text == other.as_str().as_bytes()
    }
}

impl PartialEq<str> for FieldName<'_> {
    fn eq(&self, other: &str) -> bool {
        self.text == other.as_bytes()
    }
}

impl PartialEq<&str> for FieldName<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.text == other.as_bytes()
    }
}

/// What a field can be looked up by: a name, or its text in any case.
pub trait AsFieldName {
    /// The name as it is looked for.
    fn key(&self) -> FieldKey<'_>;
}

/// A name that is looked for.
#[derive(Clone, Copy)]
pub struct FieldKey<'a> {
    name: FieldName<'a>,
    /// The text may have upper-case letters.
    folds: bool,
}

impl<'a> FieldKey<'a> {
    const fn exact(name: FieldName<'a>) -> Self {
        Self { name, folds: false }
    }

    /// Whether it is this field's.
    #[inline]
    pub(super) fn is(&self, name: FieldName<'_>) -> bool {
        match self.name.number {
            0 if self.folds => self.name.text.eq_ignore_ascii_case(name.text),
            0 => name.number == 0 && self.name.text == name.text,
            number => number == name.number,
        }
    }

    /// Whether a map can have it in which names of these numbers are.
    #[inline]
    pub(super) const fn may_be_in(&self, present: u128) -> bool {
        self.name.number == 0 || present & bit(self.name.number) != 0
    }

    /// The name.
    pub(super) const fn name(&self) -> FieldName<'a> {
        self.name
    }
}

impl AsFieldName for KnownName {
    #[inline]
    fn key(&self) -> FieldKey<'_> {
        FieldKey::exact(FieldName { number: self.0, text: text_of(self.0).as_bytes() })
    }
}

impl AsFieldName for FieldName<'_> {
    #[inline]
    fn key(&self) -> FieldKey<'_> {
        FieldKey::exact(*self)
    }
}

impl AsFieldName for HeaderName {
    #[inline]
    fn key(&self) -> FieldKey<'_> {
        FieldKey::exact(FieldName::of(self.as_str().as_bytes()))
    }
}

impl AsFieldName for str {
    #[inline]
    fn key(&self) -> FieldKey<'_> {
        let name = FieldName::of(self.as_bytes());
        FieldKey { name, folds: !name.is_known() }
    }
}

impl AsFieldName for String {
    #[inline]
    fn key(&self) -> FieldKey<'_> {
        self.as_str().key()
    }
}

impl<N: AsFieldName + ?Sized> AsFieldName for &N {
    #[inline]
    fn key(&self) -> FieldKey<'_> {
        (**self).key()
    }
}

/// What a field can be added under: a name in lower case.
pub trait IntoFieldName: AsFieldName {
    /// Panics where it is no name, which only text that is written in the code can be.
    fn check(&self) {}
}

impl IntoFieldName for KnownName {}
impl IntoFieldName for FieldName<'_> {}
impl IntoFieldName for HeaderName {}
impl IntoFieldName for &HeaderName {}
impl IntoFieldName for &'static str {
    fn check(&self) {
        let _ = HeaderName::from_static(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_with_a_number_is_known_by_it() {
        for (index, text) in TEXTS.iter().enumerate() {
            let name = FieldName::of(text.as_bytes());
            assert_eq!((usize::from(name.number), text_of(name.number)), (index + 1, *text));
            assert_eq!(name.to_header_name(), *text);
            assert!(text.key().is(name) && name.key().is(name) && name.to_header_name().key().is(name));
            assert!(text.to_uppercase().as_str().key().is(name), "{text} in upper case");
        }
        assert!(FieldName::of(b"te").is(known::TE) && !FieldName::of(b"tea").is(known::TE));
        let some = KnownNames::of(&[known::TE, known::X_REQUEST_ID]);
        assert!(FieldName::of(b"te").is_among(some) && FieldName::of(b"x-request-id").is_among(some));
        assert!(!FieldName::of(b"via").is_among(some) && !FieldName::of(b"x-unknown").is_among(some));
    }

    #[test]
    fn other_names_are_known_by_their_text() {
        let name = FieldName::of(b"x-unknown");
        assert_eq!(name.number, 0);
        assert!("x-unknown".key().is(name) && "X-Unknown".key().is(name) && !"x-unknow".key().is(name));
        assert!(!"x-unknown".key().is(FieldName::of(b"te")));
        assert_eq!(name.to_header_name(), "x-unknown");
    }
}
