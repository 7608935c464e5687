//! Who the client is, and what the upstream is told about it: `X-Forwarded-*`, `X-Real-IP`, `Forwarded` (RFC 7239),
//! `X-Request-Id` and `Via` (RFC 9110 section 7.6.3).
//!
//! What a peer says about others is believed only where the peer stands in a trusted network; from everyone else
//! those fields are replaced or removed.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use http::{HeaderName, HeaderValue, Version};
use plugin_rules::class::{is_forwarding, is_lookalike, is_odd};
use smallvec::SmallVec;

use super::{Hops, RequestId, members, strip_hop_by_hop};
use crate::message::{FieldMap, FieldValue, KnownNames, known};
use crate::model::Forwarding;
use crate::sensitive::Sensitive;

/// What the rules have to know of a request beside its fields.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The protocol version that it came over.
    pub version: Version,
    /// The other end of the connection.
    pub peer: Sensitive<IpAddr>,
    /// The same as [`address`] writes it.
    pub peer_value: &'a Sensitive<HeaderValue>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The canonical authority.
    pub authority: Sensitive<&'a str>,
}

/// What the rules found out about a request.
#[derive(Clone, Debug)]
pub struct Received {
    /// The client's address: the peer's, or the one that trusted proxies report.
    pub client: Sensitive<IpAddr>,
    /// `http` or `https`: how the client came to the first proxy that is believed.
    pub scheme: &'static str,
    /// The request id: the one that a trusted peer sent, or a new one.
    pub id: RequestId,
    /// Where it has been.
    pub hops: Hops,
    /// Names that Connection lists and that trailers could bring as well.
    pub listed: Sensitive<Vec<HeaderName>>,
    /// Whether a name is left that some servers could take for another.
    pub odd_names: bool,
    /// Whether the peer stands in a trusted network.
    pub trusted: bool,
}

/// The rules of one configuration.
#[derive(Clone, Debug)]
pub struct HeaderRules {
    forwarding: Forwarding,
    via: [&'static HeaderValue; 4],
    hop: &'static HeaderValue,
}

impl HeaderRules {
    /// Computes what can be computed before a request comes.
    pub fn new(forwarding: &Forwarding) -> Self {
        let via = ["1.0", "1.1", "2", "3"].map(|version| interned(&format!("{version} {}", forwarding.via)));
        Self { forwarding: forwarding.clone(), via, hop: interned(&forwarding.via) }
    }

    /// Whether a request has passed gateways of this name so often that it must be going round.
    pub fn is_loop(&self, hops: &Hops) -> bool {
        hops.passed >= self.forwarding.max_hops
    }

    /// The name in `Via` and `Proxy-Status`.
    pub fn via_name(&self) -> &str {
        &self.forwarding.via
    }

    /// Turns the fields of a request as it came into those that plugins and the upstream see: hop-by-hop fields and
    /// Host go, forwarding fields are set.
    pub fn receive(&self, headers: &mut FieldMap, arrival: &Arrival<'_>) -> Received {
        let peer = arrival.peer.expose().to_canonical();
        let trusted = self.forwarding.trusts(peer);
        // Before Connection is obeyed: it must not be able to hide the client's address, how the client came, or where the
        // request has been.
        let client = if trusted { self.client(peer, headers) } else { peer };
        let chain = if trusted { self.forwarded_for(peer, headers) } else { None };
        let reported = if trusted { headers.get(known::X_FORWARDED_PROTO) } else { None };
        let scheme = match reported.map(FieldValue::expose) {
            Some(b"https") => "https",
            Some(b"http") => "http",
            _ if arrival.tls => "https",
            _ => "http",
        };
        let listed = strip_hop_by_hop(headers);
        let Believed { odd_names, passed } = self.strip_unbelieved(headers, trusted);
        let hops = if passed { Hops::take(headers, self.hop) } else { Hops::new(self.hop) };
        headers.remove(known::HOST);
        match &chain {
            Some(chain) => headers.insert(known::X_FORWARDED_FOR, chain),
            None => headers.insert(known::X_FORWARDED_FOR, arrival.peer_value.expose()),
        }
        match client == peer {
            true => headers.insert(known::X_REAL_IP, arrival.peer_value.expose()),
            false => headers.insert(known::X_REAL_IP, address(client)),
        }
        headers.insert(known::X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
        if !(trusted && headers.contains_key(known::X_FORWARDED_HOST)) {
            // A request of HTTP/1.0 may name no host.
            if arrival.authority.expose().is_empty() {
                headers.remove(known::X_FORWARDED_HOST);
            } else {
                match FieldValue::of(arrival.authority.expose().as_bytes()) {
                    Some(authority) => headers.insert(known::X_FORWARDED_HOST, authority),
                    None => {
                        headers.remove(known::X_FORWARDED_HOST);
                    }
                }
            }
        }
        if self.forwarding.forwarded {
            headers.append(known::FORWARDED, forwarded(peer, arrival));
        }
        headers.append(known::VIA, self.via[version_index(arrival.version)]);

        let sent = if trusted { RequestId::sent(headers) } else { None };
        let id = sent.unwrap_or_else(RequestId::random);
        headers.insert(known::X_REQUEST_ID, id.value());
        Received { client: client.into(), scheme, id, hops, listed: listed.into(), odd_names, trusted }
    }

    /// Removes what is not believed of this peer, and, of every peer, names that could be taken for fields which the gateway
    /// makes or believes: a proxy in front need not know of those. NGINX drops every name with an underscore
    /// (`underscores_in_headers`), Envoy none unless told to (`headers_with_underscores_action`).
    fn strip_unbelieved(&self, headers: &mut FieldMap, trusted: bool) -> Believed {
        let (mut odd_names, mut passed) = (false, false);
        headers.retain(|name, _| {
            if name.is(known::CDN_LOOP) {
                passed = true;
                return true;
            }
            if name.is_among(ORDINARY) {
                return true;
            }
            let text = name.expose_str();
            if is_odd(text) {
                let poses = is_lookalike(text) && !self.forwarding.keep_lookalikes;
                odd_names |= !poses;
                return !poses;
            }
            trusted || !is_forwarding(text) || self.forwarding.keep.iter().any(|kept| name == *kept)
        });
        Believed { odd_names, passed }
    }

    /// The first address from the right that is not a trusted proxy's; where all are, the leftmost.
    fn client(&self, peer: IpAddr, headers: &FieldMap) -> IpAddr {
        let mut client = peer;
        let mut reported: Vec<Option<IpAddr>> = members(headers, &known::X_FORWARDED_FOR).map(parse_address).collect();
        if reported.is_empty() {
            reported = members(headers, &known::FORWARDED).map(forwarded_for_parameter).collect();
        }
        for address in reported.into_iter().rev() {
            // What can't be read ends the walk: the last proxy that was believed is the best that is known.
            let Some(address) = address else { break };
            client = address;
            if !self.forwarding.trusts(address) {
                break;
            }
        }
        client
    }

    /// The existing chain with the peer behind it.
    fn forwarded_for(&self, peer: IpAddr, headers: &FieldMap) -> Option<HeaderValue> {
        let mut chain = Vec::new();
        for member in members(headers, &known::X_FORWARDED_FOR) {
            chain.extend_from_slice(member);
            chain.extend_from_slice(b", ");
        }
        if chain.is_empty() {
            return None;
        }
        chain.extend_from_slice(peer.to_string().as_bytes());
        HeaderValue::from_maybe_shared(bytes::Bytes::from(chain)).ok()
    }
}

/// Names that nearly all requests have and that say nothing of the way: they need no look.
const ORDINARY: KnownNames = KnownNames::of(&[
    known::ACCEPT,
    known::ACCEPT_ENCODING,
    known::ACCEPT_LANGUAGE,
    known::AUTHORIZATION,
    known::CACHE_CONTROL,
    known::CONTENT_LENGTH,
    known::CONTENT_TYPE,
    known::COOKIE,
    known::HOST,
    known::IF_MODIFIED_SINCE,
    known::IF_NONE_MATCH,
    known::ORIGIN,
    known::REFERER,
    known::SEC_CH_UA,
    known::SEC_CH_UA_MOBILE,
    known::SEC_CH_UA_PLATFORM,
    known::SEC_FETCH_DEST,
    known::SEC_FETCH_MODE,
    known::SEC_FETCH_SITE,
    known::SEC_FETCH_USER,
    known::TE,
    known::TRANSFER_ENCODING,
    known::UPGRADE_INSECURE_REQUESTS,
    known::USER_AGENT,
    known::X_REQUEST_ID,
]);

/// What a walk over the names of a request has found.
struct Believed {
    /// A name is left that could be taken for another.
    odd_names: bool,
    /// It tells what it has passed: there is a CDN-Loop.
    passed: bool,
}

/// Addresses and validated authorities are always valid values; should one not be, an empty one tells nothing wrong.
fn value(text: impl AsRef<str>) -> HeaderValue {
    HeaderValue::from_str(text.as_ref()).unwrap_or(HeaderValue::from_static(""))
}

/// An address as a value of forwarding fields. Most are of IPv4: those are written without the machinery of formatting, which
/// would cost more than all else that is done for them.
pub fn address(address: IpAddr) -> HeaderValue {
    let IpAddr::V4(address) = address else { return value(address.to_string()) };
    let mut text = SmallVec::<[u8; 15]>::new();
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
}

/// A value whose clones touch no reference count, which all workers would otherwise fight over. Values are kept for the
/// life of the process; there are as many as distinct names were ever configured.
fn interned(text: &str) -> &'static HeaderValue {
    static KNOWN: Mutex<Vec<&'static HeaderValue>> = Mutex::new(Vec::new());
    static DEFAULT: HeaderValue = HeaderValue::from_static("1.1 gateway");
    // What `HeaderValue::from_static` takes; the configuration refuses anything else.
    if !text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
        return &DEFAULT;
    }
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(one) = known.iter().find(|one| **one == text) {
        return one;
    }
    let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
    let value: &'static HeaderValue = Box::leak(Box::new(HeaderValue::from_static(text)));
    known.push(value);
    value
}

fn version_index(version: Version) -> usize {
    match version {
        Version::HTTP_10 | Version::HTTP_09 => 0,
        Version::HTTP_2 => 2,
        Version::HTTP_3 => 3,
        _ => 1,
    }
}

/// One element of RFC 7239 section 4.
fn forwarded(peer: IpAddr, arrival: &Arrival<'_>) -> HeaderValue {
    let mut text = String::with_capacity(96);
    let scheme = if arrival.tls { "https" } else { "http" };
    // Writing to a String does not fail. Addresses with colons and hosts with ports have to be quoted.
    let _ = match peer {
        IpAddr::V4(address) => write!(text, "for={address}"),
        IpAddr::V6(address) => write!(text, "for=\"[{address}]\""),
    };
    let _ = write!(text, ";host=\"{}\";proto={scheme}", arrival.authority.expose());
    value(text)
}

/// The address in the `for` parameter of an element of `Forwarded`.
fn forwarded_for_parameter(element: &[u8]) -> Option<IpAddr> {
    let parameter = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).find_map(|pair| {
        let (name, value) = pair.split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    })?;
    let unquoted = parameter.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(parameter);
    parse_address(unquoted)
}

/// An address, with or without brackets, with or without a port.
fn parse_address(member: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(member).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip())).ok()?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::headers::map;

    fn rules(trusted: &[&str], forwarded: bool) -> HeaderRules {
        let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
        HeaderRules::new(&Forwarding { trusted, forwarded, ..Forwarding::default() })
    }

    fn arrival(peer: &str) -> Arrival<'static> {
        let peer = ip(peer);
        let peer_value = Box::leak(Box::new(address(peer.to_canonical()).into()));
        Arrival { version: Version::HTTP_2, peer: peer.into(), peer_value, tls: true, authority: "a.no:8443".into() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn no_ordinary_name_says_anything_of_the_way() {
        for &text in crate::message::known_texts() {
            let skipped = crate::message::FieldName::of(text.as_bytes()).is_among(ORDINARY);
            assert!(!(skipped && (is_odd(text) || is_forwarding(text) || text == "cdn-loop")), "{text}");
        }
    }

    #[test]
    fn addresses_are_written_as_the_library_writes_them() {
        for text in ["0.0.0.0", "1.20.255.9", "10.100.99.101", "255.255.255.255", "2001:db8::1", "::ffff:1.2.3.4"] {
            assert_eq!(address(ip(text)), ip(text).to_string());
        }
    }

    #[test]
    fn strangers_are_not_believed() {
        let mut headers = map(&[
            ("host", "a.no:8443"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-host", "evil"),
            ("x-real-ip", "1.1.1.1"),
            ("x-request-id", "mine"),
            ("forwarded", "for=1.1.1.1"),
            ("via", "1.1 before"),
        ]);
        let received = rules(&["10.0.0.0/8"], false).receive(&mut headers, &arrival("192.0.2.1"));
        assert_eq!(received.client, ip("192.0.2.1"));
        assert_eq!((received.id.len(), received.scheme), (32, "https"));
        assert!(received.id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(headers.text("x-forwarded-for"), "192.0.2.1");
        assert_eq!(headers.text("x-real-ip"), "192.0.2.1");
        assert_eq!(headers.text("x-forwarded-proto"), "https");
        assert_eq!(headers.text("x-forwarded-host"), "a.no:8443");
        assert_eq!(headers.text("x-request-id"), &*received.id);
        assert!(!headers.contains_key("forwarded") && !headers.contains_key("host"));
        assert_eq!(headers.get_all("via").collect::<Vec<_>>(), ["1.1 before", "2 gateway"]);
    }

    /// What services behind a gateway build links of, or take for proof of HTTPS.
    const CLAIMS: [(&str, &str); 12] = [
        ("x-forwarded-port", "81"),
        ("x-forwarded-prefix", "//evil"),
        ("x-forwarded-ssl", "on"),
        ("x-forwarded-scheme", "https"),
        ("x-forwarded-server", "evil"),
        ("x-forwarded-tls-client-cert", "MII"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("true-client-ip", "1.1.1.1"),
        ("cf-connecting-ip", "1.1.1.1"),
        ("x-cluster-client-ip", "1.1.1.1"),
        ("front-end-https", "on"),
    ];

    #[test]
    fn what_only_a_proxy_can_know_reaches_no_service_from_a_stranger() {
        let left = |rules: &HeaderRules, peer: &str| {
            let mut headers = map(&CLAIMS);
            headers.insert("x-other", HeaderValue::from_static("1"));
            rules.receive(&mut headers, &arrival(peer));
            assert!(headers.contains_key("x-other"));
            CLAIMS.iter().filter(|(name, _)| headers.contains_key(*name)).map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let rules = rules(&["10.0.0.0/8"], false);
        assert!(left(&rules, "192.0.2.1").is_empty());
        assert_eq!(left(&rules, "10.0.0.1").len(), CLAIMS.len());
        let keep = vec![HeaderName::from_static("x-forwarded-port"), HeaderName::from_static("cf-connecting-ip")];
        let keeping = HeaderRules::new(&Forwarding { keep, ..Forwarding::default() });
        assert_eq!(left(&keeping, "192.0.2.1"), ["x-forwarded-port", "cf-connecting-ip"]);
    }

    #[test]
    fn a_name_that_some_servers_read_as_a_forwarding_field_goes_also_where_a_proxy_passed_it_on() {
        let names = [
            ("x_forwarded_for", "1"),
            ("transfer_encoding", "chunked"),
            ("x-forwarded_proto", "https"),
            ("my_field", "1"),
        ];
        let left = |rules: &HeaderRules, peer: &str| {
            let mut headers = map(&names);
            let received = rules.receive(&mut headers, &arrival(peer));
            assert!(received.odd_names, "my_field is left");
            names.iter().filter(|(name, _)| headers.contains_key(*name)).count()
        };
        let rules = rules(&["10.0.0.0/8"], false);
        assert_eq!((left(&rules, "192.0.2.1"), left(&rules, "10.0.0.1")), (1, 1));
        let keeping = HeaderRules::new(&Forwarding { keep_lookalikes: true, ..Forwarding::default() });
        assert_eq!(left(&keeping, "192.0.2.1"), 4);
    }

    #[test]
    fn a_request_that_goes_round_is_known_by_what_it_passed() {
        let rules = rules(&[], false);
        for (passed, is_loop) in [(0, false), (4, false), (5, true)] {
            let mut headers = FieldMap::new();
            headers.insert("cdn-loop", HeaderValue::from_str(&vec!["gateway"; passed].join(", ")).unwrap());
            headers.insert("connection", HeaderValue::from_static("cdn-loop"));
            let received = rules.receive(&mut headers, &arrival("192.0.2.1"));
            assert_eq!(rules.is_loop(&received.hops), is_loop, "{passed}");
            assert!(!headers.contains_key("cdn-loop"));
        }
    }

    #[test]
    fn trusted_proxies_report_the_client() {
        let mut headers = map(&[
            ("x-forwarded-for", "6.6.6.6, 192.0.2.9"),
            ("x-forwarded-for", "10.1.1.1:4711"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "www.no"),
            ("x-request-id", "abc-1"),
        ]);
        let received = rules(&["10.0.0.0/8"], true).receive(&mut headers, &arrival("::ffff:10.0.0.1"));
        assert_eq!((received.client, received.scheme, &*received.id), (ip("192.0.2.9").into(), "http", "abc-1"));
        assert_eq!(headers.text("x-forwarded-for"), "6.6.6.6, 192.0.2.9, 10.1.1.1:4711, 10.0.0.1");
        assert_eq!(headers.text("x-real-ip"), "192.0.2.9");
        assert_eq!(headers.text("x-forwarded-proto"), "http");
        assert_eq!(headers.text("x-forwarded-host"), "www.no");
        assert_eq!(headers.text("forwarded"), "for=10.0.0.1;host=\"a.no:8443\";proto=https");
    }

    #[test]
    fn the_walk_ends_where_nothing_can_be_read() {
        let rules = rules(&["10.0.0.0/8", "2001:db8::/32"], false);
        for (field, text, client) in [
            ("x-forwarded-for", "1.2.3.4, unknown, 10.0.0.2", "10.0.0.2"),
            ("x-forwarded-for", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("x-forwarded-for", "garbage", "10.0.0.1"),
            ("forwarded", "for=9.9.9.9, For=\"[2001:db9::1]:80\";proto=http, for=10.0.0.2", "2001:db9::1"),
            ("forwarded", "for=_hidden", "10.0.0.1"),
        ] {
            let mut headers = map(&[(field, text)]);
            assert_eq!(rules.receive(&mut headers, &arrival("10.0.0.1")).client, ip(client), "{text}");
        }
    }

    #[test]
    fn connection_cannot_hide_the_client() {
        let mut headers = map(&[("x-forwarded-for", "192.0.2.9"), ("connection", "x-forwarded-for, x-real-ip")]);
        let received = rules(&["10.0.0.0/8"], false).receive(&mut headers, &arrival("10.0.0.1"));
        assert_eq!(received.client, ip("192.0.2.9"));
        assert_eq!(headers.text("x-forwarded-for"), "192.0.2.9, 10.0.0.1");
    }

    #[test]
    fn odd_request_ids_are_replaced() {
        let rules = rules(&["10.0.0.0/8"], false);
        let long = "a".repeat(129);
        for id in ["", "a b", "a\"b", "kari@example.no", long.as_str()] {
            let mut headers = map(&[("x-request-id", id)]);
            assert_ne!(*rules.receive(&mut headers, &arrival("10.0.0.1")).id, *id);
        }
        let mut twice = map(&[("x-request-id", "a"), ("x-request-id", "b")]);
        assert_eq!(rules.receive(&mut twice, &arrival("10.0.0.1")).id.len(), 32);
        assert_eq!(twice.get_all("x-request-id").count(), 1);
    }

    #[test]
    fn ids_differ() {
        assert_ne!(RequestId::random(), RequestId::random());
    }
}
