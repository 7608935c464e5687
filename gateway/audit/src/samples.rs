//! Values for tests.

use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::head::{ChainName, Head};
use crate::hex::Hash;
use crate::keys::SigningKey;
use crate::record::*;
use crate::time::Timestamp;
use crate::vocabulary::{Action, Auth, LegalBasis, Outcome, Place, Vocabulary};
use crate::words::Retention;

pub(crate) fn retention(days: u64) -> Retention {
    Retention::new(Duration::from_secs(days * 86_400)).unwrap()
}

pub(crate) fn chain_name() -> ChainName {
    ChainName { gateway: "edge-1".parse().unwrap(), retention: retention(365) }
}

pub(crate) fn head() -> Head {
    Head { chain: chain_name(), seq: 7, hash: Hash([9; 32]) }
}

pub(crate) fn signing_key(seed: u8) -> SigningKey {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    SigningKey::new(&"edge-1".parse().unwrap(), pair.to_pkcs8().unwrap().as_ref()).unwrap()
}

pub(crate) fn request(number: u64) -> RequestId {
    RequestId((u128::from(number) << 64 | 1).to_be_bytes())
}

pub(crate) fn time(seconds: u64) -> Timestamp {
    Timestamp::from_micros((1_796_000_000 + seconds) * 1_000_000)
}

pub(crate) fn opening(number: u64, upstream: &str, country: &str) -> Body {
    let route = Route {
        legal_basis: LegalBasis::Contract,
        name: "orders".parse().unwrap(),
        purpose: "order handling".parse().unwrap(),
        retention: retention(365),
    };
    let upstream = Upstream {
        controller: Some("Example AS".parse().unwrap()),
        country: Some(country.parse().unwrap()),
        name: upstream.parse().unwrap(),
        region: Some("oslo".parse().unwrap()),
    };
    let trace = Some(TraceId([3; 16]));
    Body::Opening(Box::new(Opening { request: request(number), route, trace, upstream: Some(upstream) }))
}

pub(crate) fn note(category: &str, action: Action) -> Note {
    let category = Vocabulary::new([]).unwrap().find(category).unwrap().clone();
    Note { action, by: "pii-redact".parse().unwrap(), category, count: 2, place: Place::RequestBody }
}

pub(crate) fn closing(number: u64, notes: &[Note]) -> Body {
    let mut closing = Closing::new(request(number), 200, Outcome::Complete);
    closing.auth = Auth::Allow;
    closing.bytes = Bytes::new(512, 2048);
    closing.endpoint = Some("192.0.2.7:8443".parse().unwrap());
    notes.iter().cloned().for_each(|note| closing.note(note));
    Body::Closing(Box::new(closing))
}

/// A record of each kind, with and without what is optional.
pub(crate) fn one_of_each() -> Vec<Record> {
    let start = SegmentStart {
        chain: ChainId([4; 16]),
        gateway: "edge-1".parse().unwrap(),
        number: 2,
        retention: retention(365),
        signer: Some(signing_key(1).verifier().to_string()),
        unconfirmed: Some(3),
    };
    let bodies = [
        Body::Segment(Box::new(start.clone())),
        Body::Segment(Box::new(SegmentStart { signer: None, unconfirmed: None, ..start })),
        opening(1, "billing", "NO"),
        closing(1, &[note("card", Action::Mask), note("email", Action::Pass)]),
        Body::Closing(Box::new(Closing::new(request(2), 403, Outcome::Refused))),
        Body::Head(HeadMark { signature: None }),
        Body::Head(HeadMark { signature: Some("c2ln".to_owned()) }),
        Body::Erasure(Erasure {}),
        Body::Deletion(Deletion { first: 1, hash: Hash([1; 32]), last: 3, last_seq: 99 }),
        Body::Recovery(Recovery { cut: 17, damaged: false, segment: 2 }),
    ];
    let record = |(seq, body): (u64, Body)| Record {
        caller: (seq % 2 == 0).then_some(Pseudonym([5; 16])),
        body,
        prev: Hash([6; 32]),
        seq,
        time: time(seq),
    };
    (1..).zip(bodies).map(record).collect()
}
