//! Any header section of a request: what is believed of it, what ends here, and what framing passes.

use std::net::IpAddr;

use http::{Version, header};

use super::{fields, lines, list};
use crate::message::headers::{
    Arrival, Direction, HeaderRules, address, check_framing, check_upgrade, strip_hop_by_hop, strip_trailers,
};
use crate::message::{FieldMap, FieldName, KnownName, known};
use crate::model::Forwarding;

/// Input: a line with the peer's address, then header fields. Trusted are 10.0.0.0/8 and fd00::/8.
///
/// # Panics
/// Where a stranger is believed, a hop-by-hop field survives, or a field that the gateway sets is not as it says.
pub fn run(data: &[u8]) {
    let mut lines = lines(data);
    let peer =
        lines.next().and_then(|line| std::str::from_utf8(line).ok()).and_then(|text| text.parse::<IpAddr>().ok());
    let Some(peer) = peer else { return };
    let sent = fields(&mut lines);
    framing(&sent);
    trailers(&sent);
    let networks = ["10.0.0.0/8", "fd00::/8"].iter().filter_map(|network| network.parse().ok()).collect();
    let forwarding = Forwarding { trusted: networks, forwarded: true, ..Forwarding::default() };
    let trusted = forwarding.trusts(peer.to_canonical());
    let rules = HeaderRules::new(&forwarding);
    let peer_value = &address(peer.to_canonical()).into();
    let arrival =
        Arrival { version: Version::HTTP_11, peer: peer.into(), peer_value, tls: false, authority: "a.example".into() };
    let mut headers = sent.clone();
    let received = rules.receive(&mut headers, &arrival);

    let peer = peer.to_canonical();
    let single = |name: KnownName| {
        let mut values = headers.get_all(&name);
        match (values.next(), values.next()) {
            (Some(value), None) => String::from_utf8_lossy(value.expose()).into_owned(),
            other => panic!("{other:?} instead of one value"),
        }
    };
    assert_eq!(single(known::X_REAL_IP), received.client.expose().to_string());
    assert_eq!(single(known::X_FORWARDED_PROTO), received.scheme);
    assert_eq!(single(known::X_REQUEST_ID), *received.id);
    assert!((1..=128).contains(&received.id.len()) && received.id.bytes().all(|byte| byte.is_ascii_graphic()));
    let chain = single(known::X_FORWARDED_FOR);
    assert!(chain.rsplit(", ").next() == Some(peer.to_string().as_str()), "{chain} does not end with {peer}");
    if trusted {
        let reported = ["x-forwarded-for", "forwarded"].iter().flat_map(|name| list(&sent, name));
        let named = |member: &[u8]| {
            // Addresses have several texts; whatever was believed must be one of those in a member.
            let text = String::from_utf8_lossy(member).into_owned();
            let tokens = text
                .split([';', '=', '"', '[', ']', ' '])
                .flat_map(|part| [Some(part), part.rsplit_once(':').map(|(host, _)| host)]);
            tokens.flatten().any(|part| {
                part.parse::<IpAddr>().is_ok_and(|address| address.to_canonical() == *received.client.expose())
            })
        };
        assert!(
            received.client == peer || reported.into_iter().any(named),
            "nobody reported {}",
            received.client.expose()
        );
    } else {
        assert_eq!((*received.client.expose(), received.scheme), (peer, "http"), "a stranger was believed");
        assert_eq!(chain, peer.to_string());
        assert_eq!(single(known::X_FORWARDED_HOST), "a.example");
        assert_eq!(headers.get_all(&header::FORWARDED).count(), 1);
        let own = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
        let mut claims = headers.names().map(FieldName::expose_str).filter(|name| name.starts_with("x-forwarded"));
        assert!(claims.all(|name| own.contains(&name)), "{headers:?}");
    }
    hop_by_hop(&sent, &headers);
}

/// Nothing that Connection lists goes on, apart from what the message needs and what the gateway sets itself.
fn hop_by_hop(sent: &FieldMap, headers: &FieldMap) {
    for name in ["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-authorization", "expect", "host"] {
        assert!(!headers.contains_key(name), "{name} was passed on");
    }
    let own = ["content-length", "trailer", "te", "forwarded", "via"];
    for listed in list(sent, "connection") {
        let listed = String::from_utf8_lossy(listed).to_ascii_lowercase();
        if !own.contains(&listed.as_str())
            && !listed.starts_with("x-forwarded-")
            && listed != "cdn-loop"
            && listed != "x-real-ip"
            && listed != "x-request-id"
        {
            assert!(!headers.contains_key(listed.as_str()), "{listed} was listed and passed on");
        }
    }
    let mut again = headers.clone();
    strip_hop_by_hop(&mut again);
    assert_eq!(&again, headers, "what is left is taken off by a second hop");
}

/// One reading of where the message ends.
fn framing(sent: &FieldMap) {
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2, Version::HTTP_3] {
        // Refusals need no panic; both only must not do so themselves.
        let _ = check_upgrade(version, sent);
        if check_framing(version, sent).is_err() {
            continue;
        }
        let lengths: Vec<_> = sent.get_all(&header::CONTENT_LENGTH).collect();
        assert!(lengths.len() <= 1, "two lengths passed");
        if let Some(length) = lengths.first() {
            let digits = length.expose();
            assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit), "{length:?} passed as a length");
            assert!(!sent.contains_key(header::TRANSFER_ENCODING), "a length and an encoding passed");
        }
        if version != Version::HTTP_11 {
            assert!(!sent.contains_key(header::TRANSFER_ENCODING), "an encoding passed in {version:?}");
        }
    }
}

fn trailers(sent: &FieldMap) {
    for of in [Direction::Request, Direction::Response] {
        let mut trailers = sent.clone();
        strip_trailers(&mut trailers, of);
        for name in trailers.names() {
            let folded = name.expose_str().replace(|char: char| !char.is_ascii_alphanumeric(), "-");
            let own = ["content-length", "host", "transfer-encoding", "authorization", "set-cookie", "connection"];
            assert!(
                !own.contains(&folded.as_str()) && !folded.starts_with("x-forwarded"),
                "{folded} stood in trailers"
            );
        }
    }
}
