//! What a field is for, told from its name: one table for heads and trailers, for both directions, for every protocol, and
//! for what plugins and the configuration write. Names are in lower case.
//!
//! Where a family of names grows by itself (what proxies say of the client, conditions, credentials), it is told by how
//! its names begin or end, so that a new one is no hole.

use smallvec::SmallVec;

/// What a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Belongs to a connection, to framing or to the gateway itself, which makes it anew (RFC 9110 sections 7.2, 7.6.1 and
    /// 8.6, RFC 9112 section 6).
    Own,
    /// What a proxy says of the client, of how it came, and of what it asked for: believed of trusted peers only.
    Forwarding,
    /// Authentication (RFC 9110 section 11) and cookies.
    Authentication,
    /// Controls and conditions of a request, and its routing.
    Modifier,
    /// Control data of a response.
    Control,
    /// What the content is.
    Content,
    /// Anything else, which may stand in a trailer section.
    Other,
}

/// What fields of this name, in lower case, are for.
pub fn class(name: &str) -> Class {
    match name {
        "cdn-loop" | "connection" | "content-length" | "host" | "http2-settings" | "keep-alive"
        | "proxy-connection" | "te" | "trailer" | "transfer-encoding" | "upgrade" => Class::Own,
        "authorization"
        | "cookie"
        | "cookie2"
        | "dpop"
        | "proxy-authenticate"
        | "proxy-authentication-info"
        | "proxy-authorization"
        | "set-cookie"
        | "set-cookie2"
        | "www-authenticate" => Class::Authentication,
        "accept"
        | "cache-control"
        | "expect"
        | "max-forwards"
        | "pragma"
        | "prefer"
        | "priority"
        | "proxy"
        | "range"
        | "x-http-method"
        | "x-http-method-override"
        | "x-method-override"
        | "x-request-id" => Class::Modifier,
        "age"
        | "allow"
        | "alt-svc"
        | "alt-used"
        | "clear-site-data"
        | "date"
        | "expires"
        | "location"
        | "permissions-policy"
        | "referrer-policy"
        | "refresh"
        | "retry-after"
        | "strict-transport-security"
        | "vary"
        | "via"
        | "warning"
        | "x-content-type-options"
        | "x-frame-options" => Class::Control,
        // RFC 9530 section 2: a digest is what trailers are for. Content-MD5 was its forerunner.
        "content-digest" | "content-md5" => Class::Other,
        _ if is_forwarding(name) => Class::Forwarding,
        _ => of_family(name),
    }
}

fn of_family(name: &str) -> Class {
    let begins = |with: &[&str]| with.iter().any(|start| name.starts_with(start));
    if begins(&["content-security-policy", "access-control-", "cross-origin-"]) {
        Class::Control
    } else if begins(&["accept-", "if-", "sec-"]) {
        Class::Modifier
    } else if begins(&["content-"]) {
        Class::Content
    } else {
        Class::Other
    }
}

/// Whether fields of this name are made by the gateway itself, so that neither plugins nor the configuration may.
pub fn is_made_here(name: &str) -> bool {
    class(name) == Class::Own
}

/// Whether a member of TE says that trailers are welcome (RFC 9110 section 10.1.4). A weight may follow: `trailers;q=0.5`.
pub fn is_trailers(member: &[u8]) -> bool {
    let name = member.split(|&byte| byte == b';').next().unwrap_or(member);
    name.trim_ascii().eq_ignore_ascii_case(b"trailers")
}

/// Whether fields of this name end at this hop, whether Connection lists them or not (RFC 9110 section 7.6.1). `Expect`
/// does because the gateway itself answers it when it starts to read the body, `Proxy` because CGI would turn it into
/// `HTTP_PROXY`. Connection and TE need a look at their values.
pub fn ends_at_this_hop(name: &str) -> bool {
    ENDS_AT_THIS_HOP.contains(&name)
}

/// The names of [`ends_at_this_hop`].
pub const ENDS_AT_THIS_HOP: [&str; 10] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
    "proxy",
];

/// Whether Connection can't talk us out of fields of this name: without them the message would be read differently, or could
/// go round for ever.
pub fn is_needed(name: &str) -> bool {
    matches!(name, "content-length" | "host" | "trailer" | "te" | "cdn-loop")
}

/// Which message a body or trailers belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    Request,
    /// From the upstream.
    Response,
}

/// Whether a field of this name must not stand in the trailers of any message of this direction: framing, routing,
/// authentication, request modifiers, response control data, the description of the content, and what proxies say
/// (RFC 9110 section 6.5.1).
pub fn is_forbidden_in_trailers(name: &str, of: Direction) -> bool {
    // A signature (RFC 9421) covers what is in trailers and may stand there.
    let credential = of == Direction::Request && is_credential(name) && !name.starts_with("signature");
    class(name) != Class::Other || credential || is_lookalike(name)
}

/// Whether fields of this name say what only a proxy can know: the client's address, the scheme, host, port or path that it
/// used, its certificate, or who a proxy has found it to be. What of this clients send is believed by much that stands
/// behind gateways. NGINX passes all of it on; Envoy removes `x-envoy-*` and, at an edge, makes `x-forwarded-*` anew;
/// Traefik removes its own set of `X-Forwarded-*` and `X-Real-Ip`. `X-HTTP-Method-Override` is passed on by all of them,
/// and here: it is the client's own wish.
pub fn is_forwarding(name: &str) -> bool {
    let begins = |with: &[&str]| with.iter().any(|start| name.starts_with(start));
    // X-Real-IP, True-Client-IP, CF-Connecting-IP, X-Cluster-Client-IP, and whatever is next.
    // X-Vercel-Forwarded-For, Fly-Forwarded-Proto, CloudFront-Forwarded-Proto likewise.
    if name.ends_with("-ip") || name.ends_with("clientip") || name.contains("-forwarded-") {
        return true;
    }
    match name.as_bytes().first() {
        Some(b'x') => name.strip_prefix("x-").is_some_and(is_x_forwarding),
        Some(b'f') => begins(&["forward", "fastly-"]) || name == "front-end-https",
        // RFC 9440 section 2.4: Client-Cert and Client-Cert-Chain are taken off whatever comes from outside.
        Some(b'c') => begins(&["cf-", "client-cert", "client-ip", "cloudfront-"]),
        Some(b'h') => name == "https",
        Some(b'r') => begins(&["remote-"]),
        Some(b's') => begins(&["ssl-"]),
        Some(b't') => begins(&["true-client-"]),
        Some(b'w') => begins(&["wl-proxy-"]),
        _ => false,
    }
}

/// The same for what follows `x-`. By its first letter, because clients send fields of their own with every request.
fn is_x_forwarding(rest: &str) -> bool {
    let begins = |with: &[&str]| with.iter().any(|start| rest.starts_with(start));
    let known = match rest.as_bytes().first() {
        Some(b'a') => begins(&["accel-", "amzn-mtls-", "amzn-oidc-", "appengine-", "arr-", "azure-"]),
        Some(b'c') => {
            let of_client = ["client-address", "client-cert", "client-dn", "client-ip", "client-verif"];
            begins(&of_client) || begins(&["cluster-client-"])
        }
        Some(b'e') => begins(&["envoy-"]),
        Some(b'f') => begins(&["forward"]),
        Some(b'g') => begins(&["goog-authenticated-user", "goog-iap-"]),
        Some(b'h') => begins(&["host-override"]) || matches!(rest, "host" | "http-host-override" | "https"),
        Some(b'm') => begins(&["ms-client-principal"]),
        Some(b'o') => begins(&["original-", "originating-"]),
        Some(b'p') => rest == "proto",
        Some(b'r') => begins(&["real-", "remote-", "rewrite-"]),
        Some(b's') => begins(&["sendfile", "ssl"]) || matches!(rest, "scheme" | "script-name"),
        Some(b't') => begins(&["tls-"]),
        Some(b'u') => rest == "url-scheme",
        _ => false,
    };
    // `X-Vercel-Forwarded-For` and its like.
    known || rest.contains("forwarded")
}

/// Whether fields of this name carry what a caller is known by, as far as the name tells: keys, tokens and sessions; and who
/// the caller is, where a proxy has found that out and asserts it: its certificate, its name, its tenant. Names that only
/// sound like it do no harm: a response to them is kept a little less often.
pub fn is_credential(name: &str) -> bool {
    let folded: SmallVec<[u8; 64]> = folded(name).collect();
    let Ok(name) = std::str::from_utf8(&folded) else { return true };
    const PARTS: [&str; 29] = [
        "access-key",
        "account",
        "api-key",
        "apikey",
        "assertion",
        "auth",
        "client-id",
        "clientcert",
        "consumer",
        "cookie",
        "credential",
        "csrf",
        "customer",
        "dpop",
        "email",
        "identity",
        "jwt",
        "oidc",
        "passw",
        "principal",
        "saml",
        "secret",
        "session",
        "signature",
        "subject",
        "tenant",
        "token",
        "userinfo",
        "username",
    ];
    const WORDS: [&str; 20] = [
        "caller", "cert", "claims", "dn", "group", "groups", "key", "login", "member", "org", "owner", "role", "roles",
        "scope", "scopes", "sid", "sub", "uid", "upn", "userid",
    ];
    // Of what these begin, only what is known to be of the connection or the target is nobody's name: what the next proxy
    // asserts can't be listed here.
    const ASSERTED: [&str; 10] = [
        "client-cert",
        "client-dn",
        "client-verif",
        "forward-",
        "forwarded-",
        "remote-",
        "ssl-client",
        "tls-client",
        "vouch-",
        "webauth-",
    ];
    const OF_THE_WAY: [&str; 19] = [
        "addr", "address", "by", "cipher", "for", "host", "ip", "method", "path", "port", "prefix", "proto",
        "protocol", "scheme", "server", "ssl", "uri", "url", "version",
    ];
    let bare = name.strip_prefix("x-").unwrap_or(name);
    let last = bare.rsplit('-').next().unwrap_or_default();
    let is_asserted = ASSERTED.iter().any(|start| bare.starts_with(start)) && !OF_THE_WAY.contains(&last);
    let mut words = bare.split('-');
    // User-Agent and Sec-Fetch-User come from every browser, and say nothing of who uses it.
    let is_of_program = bare.starts_with("sec-") || bare.contains("user-agent");
    let names_user = !is_of_program && words.clone().any(|word| word == "user");
    bare == "from"
        || is_asserted
        || names_user
        || bare.ends_with("xsrf")
        || words.any(|word| WORDS.contains(&word))
        || PARTS.iter().any(|part| bare.contains(part))
}

/// Whether a name holds a character that servers which name fields after CGI's variables read as another one: those map
/// every `-` to `_` (RFC 3875 section 4.1.18), and some map dots and the rest as well.
pub fn is_odd(name: &str) -> bool {
    // Without a branch per character, since every name of every request is looked at.
    name.bytes().fold(false, |odd, byte| odd | !(byte.is_ascii_alphanumeric() | (byte == b'-')))
}

/// The name as such servers read it.
fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' })
}

/// Whether such a server takes the two for one.
pub fn same_when_folded(one: &str, other: &str) -> bool {
    one.len() == other.len() && folded(one).eq(folded(other))
}

/// Whether this odd name would be read as one of these, which somebody has set or taken off, and is none of them itself.
pub fn poses<'a>(name: &str, of: impl Iterator<Item = &'a str> + Clone) -> bool {
    is_odd(name) && of.clone().all(|other| other != name) && of.clone().any(|other| same_when_folded(other, name))
}

/// Whether this odd name would be read as a field that the gateway makes, believes or acts upon: `X_Forwarded_For`,
/// `Transfer_Encoding`, `content.length`.
pub fn is_lookalike(name: &str) -> bool {
    if !is_odd(name) {
        return false;
    }
    let bytes: SmallVec<[u8; 64]> = folded(name).collect();
    std::str::from_utf8(&bytes).is_ok_and(|name| class(name) != Class::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proxies_say_is_known_by_how_its_names_begin_and_end() {
        for name in [
            "forwarded",
            "forwarded-for",
            "x-forwarded",
            "x-forwarded-for",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "x-forwarded-ssl",
            "x-forwarded-scheme",
            "x-forwarded-server",
            "x-forwarded-method",
            "x-forwarded-path",
            "x-forwarded-uri",
            "x-forwarded-tls-version",
            "x-forwarded-tls-client-cert-info",
            "x-forwarded-client-cert",
            "x-forwarded-by-next-years-proxy",
            "x-vercel-forwarded-for",
            "cloudfront-forwarded-proto",
            "cloudfront-viewer-address",
            "fly-forwarded-port",
            "z-forwarded-for",
            "x-script-name",
            "x-forward-for",
            "x-original-url",
            "x-original-forwarded-for",
            "x-originating-ip",
            "x-rewrite-url",
            "x-real-ip",
            "x-real-port",
            "true-client-ip",
            "cf-connecting-ip",
            "cf-visitor",
            "x-client-ip",
            "client-ip",
            "x-cluster-client-ip",
            "x-azure-clientip",
            "fastly-client-ip",
            "fly-client-ip",
            "wl-proxy-ssl",
            "front-end-https",
            "x-url-scheme",
            "x-ssl-client-verify",
            "ssl-client-subject-dn",
            "client-cert-chain",
            "x-client-cert",
            "x-envoy-original-path",
            "x-remote-user",
            "x-accel-mapping",
        ] {
            assert_eq!(class(name), Class::Forwarding, "{name}");
        }
        for name in ["x-client-version", "x-custom", "traceparent", "x-fold", "user-agent", "x-trip", "clients", "tips"]
        {
            assert_eq!(class(name), Class::Other, "{name}");
        }
    }

    #[test]
    fn what_a_name_tells_of_credentials() {
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-api-key",
            "api-key",
            "apikey",
            "api_key",
            "x-auth-token",
            "x-access-token",
            "x-amz-security-token",
            "x-goog-iap-jwt-assertion",
            "ocp-apim-subscription-key",
            "x-functions-key",
            "private-token",
            "x-session-id",
            "dpop",
            "x-csrf-token",
            "x-xsrf",
        ] {
            assert!(is_credential(name), "{name}");
        }
        for name in [
            "accept",
            "user-agent",
            "x-original-user-agent",
            "sec-fetch-user",
            "sec-ch-ua",
            "accept-language",
            "x-request-id",
            "x-requested-with",
            "range",
            "traceparent",
            "via",
            "host",
            "origin",
            "referer",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "x-real-ip",
            "remote-addr",
            "cf-ray",
            "cf-connecting-ip",
            "x-envoy-attempt-count",
        ] {
            assert!(!is_credential(name), "{name}");
        }
    }

    #[test]
    fn who_a_balancer_says_the_caller_is_tells_callers_apart() {
        for name in [
            "x-forwarded-client-cert",
            "x-client-cert",
            "client-cert",
            "client-cert-chain",
            "ssl-client-cert",
            "x-ssl-client-s-dn",
            "ssl-client-subject-dn",
            "x-ssl-client-serial",
            "x-ssl-client-fingerprint",
            "x-tls-client-san",
            "x-forwarded-tls-client-cert-info",
            "x-amzn-mtls-clientcert-subject",
            "x-arr-clientcert",
            "wl-proxy-client-cert",
            "x-forwarded-user",
            "x-forwarded-email",
            "x-forwarded-groups",
            "x-forwarded-preferred-username",
            "x-forwarded-whom-next-years-proxy-found",
            "remote-user",
            "remote-name",
            "x-remote-user",
            "x_forwarded_email",
            "x-webauth-name",
            "x-amzn-oidc-identity",
            "x-amzn-oidc-data",
            "x-ms-client-principal-name",
            "x-goog-authenticated-user-email",
            "x-endpoint-api-userinfo",
            "x-consumer-id",
            "x-user",
            "x-user-id",
            "x-userid",
            "user_id",
            "x-tenant",
            "x-tenant-id",
            "x-org-id",
            "x-roles",
            "x-subject",
            "from",
        ] {
            assert!(is_credential(name), "{name}");
        }
    }

    #[test]
    fn a_name_that_cgi_would_read_as_another_is_known() {
        for name in [
            "x_forwarded_for",
            "x-forwarded_for",
            "x_forwarded-proto",
            "transfer_encoding",
            "content_length",
            "content.length",
            "x.forwarded.for",
            "true_client_ip",
            "proxy_authorization",
        ] {
            assert!(is_lookalike(name), "{name}");
        }
        for name in ["x-forwarded-for", "my_field", "api_key", "x_request", "content", "user_id"] {
            assert!(!is_lookalike(name), "{name}");
        }
        assert!(same_when_folded("x_user", "x-user") && !same_when_folded("x-users", "x-user"));
    }
}
