//! The exchange that the test host owns, and the functions that a plugin calls on it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::message::FieldList;
use super::stored::Edited;
use crate::Failure;
use crate::bindings::edge::gateway::http::Part;

/// One exchange in a test host.
#[derive(Debug, Default)]
pub struct Data {
    pub(super) method: RefCell<String>,
    pub(super) scheme: String,
    pub(super) authority: RefCell<String>,
    pub(super) target: RefCell<String>,
    pub(super) parts: [RefCell<FieldList>; 4],
    /// The request's fields that the plugin changed, with the client's values.
    pub(super) edited: RefCell<Edited>,
    /// The plugin itself has named the principal.
    pub(super) named_here: Cell<bool>,
    /// The head of the request has gone out: changes come too late.
    pub(super) request_sent: Cell<bool>,
    /// There is a response.
    pub(super) responded: Cell<bool>,
    /// The head of the response has gone out.
    pub(super) response_sent: Cell<bool>,
    /// The response-headers phase runs, the only one that may store.
    pub(super) may_store: Cell<bool>,
    /// Upstreams that `set_upstream` may name.
    pub(super) granted: Vec<String>,
    pub(super) properties: RefCell<BTreeMap<String, String>>,
    pub(super) measures: RefCell<BTreeMap<String, u64>>,
    pub(super) failure: Cell<Option<Failure>>,
    pub(super) state: RefCell<Vec<u8>>,
    pub(super) log_fields: RefCell<Vec<(String, String)>>,
    pub(super) store: RefCell<Option<(String, u64)>>,
}

impl Data {
    pub(super) fn part(&self, part: Part) -> &RefCell<FieldList> {
        &self.parts[part as usize]
    }
}

/// The functions of `http`.
pub(crate) mod exchange_calls {
    use super::{Data, Part};
    use crate::Failure;
    use crate::bindings::edge::gateway::http::FieldError;
    use crate::bindings::edge::gateway::types::Header;

    /// What belongs to a connection or to the framing of a message is the host's.
    const OWNED_BY_HOST: [&str; 11] = [
        "cdn-loop",
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    ];

    pub(crate) fn owned_by_host(name: &str) -> bool {
        OWNED_BY_HOST.iter().any(|owned| owned.eq_ignore_ascii_case(name))
    }

    /// RFC 9110 section 6.5.1: framing, routing, authentication, request modifiers, response control data and the content's
    /// format don't belong into trailers. The gateway refuses some more, which are rare.
    fn is_misplaced(name: &str) -> bool {
        const NAMES: [&str; 24] = [
            "accept",
            "age",
            "alt-svc",
            "authorization",
            "cache-control",
            "cookie",
            "date",
            "expect",
            "expires",
            "forwarded",
            "location",
            "max-forwards",
            "pragma",
            "proxy-authenticate",
            "proxy-authorization",
            "range",
            "retry-after",
            "set-cookie",
            "vary",
            "via",
            "warning",
            "www-authenticate",
            "x-real-ip",
            "x-request-id",
        ];
        const BEGIN: [&str; 6] = ["accept-", "access-control-", "content-", "if-", "x-forwarded-", "x-original-"];
        let digest = matches!(name, "content-digest" | "content-md5");
        NAMES.contains(&name) || (!digest && BEGIN.iter().any(|begin| name.starts_with(begin)))
    }

    /// Whether a part can still be changed.
    fn writable(of: &Data, part: Part) -> Result<(), FieldError> {
        match part {
            Part::Request if of.request_sent.get() => Err(FieldError::TooLate),
            Part::Request | Part::RequestTrailers => Ok(()),
            Part::Response | Part::ResponseTrailers if !of.responded.get() => Err(FieldError::NotAllowed),
            Part::Response if of.response_sent.get() => Err(FieldError::TooLate),
            Part::Response | Part::ResponseTrailers => Ok(()),
        }
    }

    fn check_name(part: Part, name: &str) -> Result<String, FieldError> {
        if name.starts_with(':') {
            return Err(FieldError::NotAllowed);
        }
        if name.len() > 256 {
            return Err(FieldError::TooLarge);
        }
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(FieldError::InvalidName);
        }
        let name = name.to_ascii_lowercase();
        let trailers = matches!(part, Part::RequestTrailers | Part::ResponseTrailers);
        let misplaced = trailers && is_misplaced(&name);
        if misplaced || owned_by_host(&name) {
            return Err(FieldError::NotAllowed);
        }
        Ok(name)
    }

    fn check_value(value: &[u8]) -> Result<Vec<u8>, FieldError> {
        if value.len() > 64 << 10 {
            return Err(FieldError::TooLarge);
        }
        // RFC 9110 section 5.5: visible characters, spaces and tabs, and none of those two at the ends.
        if value.trim_ascii().iter().any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
            return Err(FieldError::InvalidValue);
        }
        Ok(value.trim_ascii().to_vec())
    }

    fn note_edit(of: &Data, part: Part, name: &str) {
        if part == Part::Request && !of.edited.borrow().contains_key(name) {
            let fields = of.part(part).borrow();
            let sent = fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect();
            of.edited.borrow_mut().insert(name.to_owned(), sent);
        }
    }

    fn check(of: &Data, part: Part, name: &str, value: &[u8]) -> Result<(String, Vec<u8>), FieldError> {
        writable(of, part)?;
        let field = (check_name(part, name)?, check_value(value)?);
        if of.part(part).borrow().len() >= 256 {
            return Err(FieldError::TooLarge);
        }
        Ok(field)
    }

    pub(crate) fn get(of: &Data, part: Part, name: &str) -> Option<Vec<u8>> {
        let fields = of.part(part).borrow();
        fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }

    pub(crate) fn get_all(of: &Data, part: Part, name: Option<&str>) -> Vec<Header> {
        let fields = of.part(part).borrow();
        let fields = fields.iter().filter(|(key, _)| name.is_none_or(|name| key.eq_ignore_ascii_case(name)));
        fields.map(|(name, value)| Header { name: name.clone(), value: value.clone() }).collect()
    }

    pub(crate) fn set(of: &Data, part: Part, name: &str, value: &[u8]) -> Result<(), FieldError> {
        let (name, value) = check(of, part, name, value)?;
        note_edit(of, part, &name);
        let mut fields = of.part(part).borrow_mut();
        fields.retain(|(key, _)| *key != name);
        fields.push((name, value));
        Ok(())
    }

    pub(crate) fn append(of: &Data, part: Part, name: &str, value: &[u8]) -> Result<(), FieldError> {
        let field = check(of, part, name, value)?;
        note_edit(of, part, &field.0);
        of.part(part).borrow_mut().push(field);
        Ok(())
    }

    pub(crate) fn remove(of: &Data, part: Part, name: &str) -> Result<(), FieldError> {
        if part == Part::Response && !of.responded.get() || of.part(part).borrow().is_empty() {
            return Ok(());
        }
        writable(of, part)?;
        let name = check_name(part, name)?;
        note_edit(of, part, &name);
        of.part(part).borrow_mut().retain(|(key, _)| *key != name);
        Ok(())
    }

    pub(crate) fn method(of: &Data) -> String {
        of.method.borrow().clone()
    }

    pub(crate) fn scheme(of: &Data) -> String {
        of.scheme.clone()
    }

    pub(crate) fn authority(of: &Data) -> String {
        of.authority.borrow().clone()
    }

    pub(crate) fn path(of: &Data) -> String {
        of.target.borrow().clone()
    }

    pub(crate) fn property(of: &Data, name: &str) -> Option<String> {
        of.properties.borrow().get(name).cloned()
    }

    pub(crate) fn measure(of: &Data, name: &str) -> Option<u64> {
        of.measures.borrow().get(name).copied()
    }

    pub(crate) fn upstream_failure(of: &Data) -> Option<Failure> {
        of.failure.get()
    }

    pub(crate) fn set_target(
        of: &Data,
        method: Option<&str>,
        authority: Option<&str>,
        path: Option<&str>,
    ) -> Result<(), FieldError> {
        writable(of, Part::Request)?;
        if matches!(method, Some("CONNECT" | "TRACE")) {
            return Err(FieldError::NotAllowed);
        }
        let authority = authority.map(str::to_ascii_lowercase);
        if method.is_some_and(|method| method.len() > 32 || check_name(Part::Request, method).is_err())
            || authority.as_deref().is_some_and(|authority| !is_authority(authority))
            || path.is_some_and(|path| !may_replace(path, &of.target.borrow()))
        {
            return Err(FieldError::InvalidValue);
        }
        for (part, value) in [(&of.method, method), (&of.authority, authority.as_deref()), (&of.target, path)] {
            if let Some(value) = value {
                value.clone_into(&mut part.borrow_mut());
            }
        }
        Ok(())
    }

    fn is_authority(authority: &str) -> bool {
        let visible = authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
        visible && !authority.is_empty() && !authority.starts_with(':') && authority.len() <= 256
    }

    /// A target that the router could have produced itself: its path is one and the same here and upstream, or it is the
    /// current one.
    fn may_replace(target: &str, current: &str) -> bool {
        let split = |target| str::split_once(target, '?').unwrap_or((target, ""));
        let ((path, query), (current_path, _)) = (split(target), split(current));
        let printable = query.bytes().all(|byte| byte > b' ' && byte != 0x7f && byte != b'#');
        target.len() <= current.len().max(8 << 10) && printable && (path == current_path || is_safe_path(path))
    }

    fn is_safe_path(path: &str) -> bool {
        let visible = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\');
        let escapes = path.split('%').skip(1).all(|rest| {
            let digits = rest.as_bytes().get(..2);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        });
        let path = path.to_ascii_lowercase();
        let hidden = ["%2f", "%5c", "%00"].iter().any(|escape| path.contains(escape));
        // Some servers see a dot segment before a path parameter, too.
        let names = path.replace("%2e", ".");
        let mut names = names.split('/').map(|segment| segment.split(';').next().unwrap_or(segment));
        let dots = names.any(|name| name == "." || name == "..");
        path.starts_with('/') && visible && escapes && !hidden && !dots
    }

    pub(crate) fn set_upstream(of: &Data, name: &str) -> Result<(), String> {
        if of.request_sent.get() {
            return Err("the request has been sent".to_owned());
        }
        if !of.granted.iter().any(|granted| granted == name) {
            return Err(format!("the upstream `{name}` is not granted to the plugin"));
        }
        of.properties.borrow_mut().insert("upstream.name".to_owned(), name.to_owned());
        Ok(())
    }

    pub(crate) fn set_status(of: &Data, code: u16) -> Result<(), FieldError> {
        writable(of, Part::Response)?;
        if !(200..=599).contains(&code) {
            return Err(FieldError::InvalidValue);
        }
        of.measures.borrow_mut().insert("response.status".to_owned(), code.into());
        Ok(())
    }

    pub(crate) fn state(of: &Data) -> Vec<u8> {
        of.state.borrow().clone()
    }

    pub(crate) fn set_state(of: &Data, value: &[u8]) {
        assert!(value.len() <= 64 << 10, "the state of an exchange is larger than 64 KiB");
        *of.state.borrow_mut() = value.to_vec();
    }

    pub(crate) fn set_attribute(of: &Data, name: &str, value: &str) {
        assert!(
            (1..=256).contains(&name.len()) && value.len() <= 8 << 10,
            "an attribute: name 1-256 bytes, value 8 KiB"
        );
        if name == "principal" {
            of.named_here.set(true);
        }
        of.properties.borrow_mut().insert(format!("attribute.{name}"), value.to_owned());
    }

    pub(crate) fn store_response(of: &Data, key: &str, ttl_ms: u64) {
        assert!(of.may_store.get(), "store_response: only in on_response_headers");
        assert!(key.len() <= 1 << 10, "store_response: a key of at most 1 KiB");
        *of.store.borrow_mut() = Some((key.to_owned(), ttl_ms));
    }

    pub(crate) fn log_fields(of: &Data) -> Vec<(String, String)> {
        of.log_fields.borrow().clone()
    }

    pub(crate) fn set_log_field(of: &Data, name: &str, value: Option<&str>) {
        assert!((1..=256).contains(&name.len()), "a log field: name 1-256 bytes");
        let mut fields = of.log_fields.borrow_mut();
        match (fields.iter().position(|(key, _)| key == name), value) {
            (Some(at), Some(value)) => value.clone_into(&mut fields[at].1),
            (Some(at), None) => drop(fields.remove(at)),
            (None, Some(value)) => fields.push((name.to_owned(), value.to_owned())),
            (None, None) => {}
        }
    }
}
