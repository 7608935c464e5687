//! Where credentials stand in a request, and the request without them. Pure.

/// The token of an Authorization field (RFC 6750 section 2.1), where its scheme is Bearer.
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// The values of a cookie in a Cookie field (RFC 6265 section 4.2), and the field without it.
pub fn cookie<'a>(field: &'a str, name: &str) -> (Vec<&'a str>, String) {
    let (mut found, mut rest) = (Vec::new(), Vec::new());
    for pair in field.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) if key.trim() == name => found.push(value.trim().trim_matches('"')),
            _ => rest.push(pair),
        }
    }
    (found, rest.join("; "))
}

/// A target without a query parameter. `is_it` gets each name as it stands and says whether it is the one.
pub fn without_param(target: &str, is_it: impl Fn(&str) -> bool) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let keep = |pair: &&str| !is_it(pair.split_once('=').map_or(*pair, |(name, _)| name));
    let rest = query.split('&').filter(keep).collect::<Vec<_>>().join("&");
    if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") }
}

/// Whether a client's field could be taken for this header: some upstreams read `_` as `-`.
pub fn poses_as(field: &str, header: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    field.len() == header.len() && field.bytes().map(fold).eq(header.bytes().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bEARER  abc"), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer"), None);
    }

    #[test]
    fn a_cookie_is_taken_out() {
        assert_eq!(cookie("a=1; t=x.y.z; b=2", "t"), (vec!["x.y.z"], "a=1; b=2".to_owned()));
        assert_eq!(cookie("t=x", "t"), (vec!["x"], String::new()));
        assert_eq!(cookie("tt=x", "t"), (vec![], "tt=x".to_owned()));
    }

    #[test]
    fn a_parameter_is_taken_out() {
        let is_it = |name: &str| name == "key";
        assert_eq!(without_param("/a?b=1&key=s&c=2&key", is_it), "/a?b=1&c=2");
        assert_eq!(without_param("/a?key=s", is_it), "/a");
        assert_eq!(without_param("/key=s", is_it), "/key=s");
    }

    #[test]
    fn underscores_pose_as_dashes() {
        assert!(poses_as("X_User", "x-user") && poses_as("x-user", "x-user"));
        assert!(!poses_as("x-users", "x-user"));
    }
}
