//! Any target and authority: refused, or in a form that stays as it is and has no second reading.

use http::{HeaderValue, Method, Uri, Version, header};

use crate::message::{FieldMap, normalize};

/// Input: a line with a Host field, or nothing for none; the rest is the request target.
///
/// # Panics
/// Where a canonical form is not stable, or holds a dot segment, an empty segment or a control character.
pub fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (host, target) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    if let Ok(target) = std::str::from_utf8(target) {
        check_path(target);
    }
    if let Ok(host) = std::str::from_utf8(host)
        && let Ok(once) = normalize::authority(host)
    {
        assert_eq!(normalize::authority(&once).ok().as_deref(), Some(once.as_str()), "an authority is not stable");
        let name = normalize::hostname(&once);
        assert!(!name.is_empty() && !name.ends_with('.') && (name.ends_with(']') || !name.contains(':')), "{name}");
    }
    let mut headers = FieldMap::new();
    if let (false, Ok(host)) = (host.is_empty(), HeaderValue::from_bytes(host)) {
        headers.append(header::HOST, host);
    }
    let Ok(uri) = Uri::try_from(target) else { return };
    for (method, version) in [(Method::GET, Version::HTTP_11), (Method::OPTIONS, Version::HTTP_2)] {
        let Ok(first) = normalize::target(&method, &uri, &headers, version) else { continue };
        let (path, query) = match first.path_and_query.expose().as_str().split_once('?') {
            Some((path, query)) => (path, query),
            None => (first.path_and_query.expose().as_str(), ""),
        };
        if path != "*" {
            check_canonical(path);
        }
        assert!(query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{query:?}");
        // What goes upstream is read there as it was read here.
        let text = first.path_and_query.expose().as_str();
        let again = Uri::try_from(text).unwrap_or_else(|error| panic!("{text} is no target: {error}"));
        let mut headers = FieldMap::new();
        let host = HeaderValue::from_str(first.authority.expose());
        headers.insert(
            header::HOST,
            host.unwrap_or_else(|error| panic!("{} is no Host: {error}", first.authority.expose())),
        );
        let second = normalize::target(&method, &again, &headers, version);
        assert_eq!(second.ok().as_ref(), Some(&first), "a target is not stable");
    }
}

fn check_path(raw: &str) {
    let Ok(once) = normalize::path(raw).map(std::borrow::Cow::into_owned) else { return };
    check_canonical(&once);
    let again = normalize::path(&once).ok();
    assert_eq!(again.as_deref(), Some(once.as_str()), "a path is not stable");
}

/// What must hold of a canonical path, however a server behind reads escaped separators and path parameters.
pub(super) fn check_canonical(path: &str) {
    assert!(path.starts_with('/') && !path.contains("//"), "{path}");
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte)), "{path}");
    let separated = path.replace("%2F", "/").replace("%5C", "/");
    for segment in separated.split('/') {
        let name = segment.split(';').next().unwrap_or(segment);
        let name = name.replace("%2e", ".").replace("%2E", ".");
        assert!(name != "." && name != "..", "a dot segment is left in {path}");
    }
    assert!(!path.contains("%00"), "{path}");
}
