//! Values for tests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::faults::FaultyDisk;
use crate::head::{ChainName, Head};
use crate::hex::Hash;
use crate::keys::SigningKey;
use crate::ledger::{Durability, Entry, Ledger, Settings};
use crate::record::*;
use crate::subjects::{Caller, PseudonymKeys};
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

/// A ledger of the gateway edge-1 with short waits.
pub(crate) fn settings(directory: &Path) -> Settings {
    let mut settings = Settings::new(directory.to_owned(), "edge-1".parse().unwrap());
    settings.signing_key = Some(signing_key(1));
    settings.durability = Durability::Sync { pace: Duration::ZERO };
    settings.patience = Duration::from_secs(20);
    settings.tick = Duration::from_millis(10);
    settings.min_free = 0;
    settings
}

pub(crate) fn open(settings: Settings) -> Ledger {
    Ledger::open(settings, Arc::new(FaultyDisk::new())).unwrap().0
}

pub(crate) fn caller(principal: &str) -> Caller {
    PseudonymKeys::new(&[[8; 32]]).unwrap().caller(principal.as_bytes())
}

/// The two records of an exchange.
pub(crate) fn exchange(number: u64, principal: &str, upstream: &str, country: &str, notes: &[Note]) -> [Entry; 2] {
    let (Body::Opening(opening), Body::Closing(closing)) = (opening(number, upstream, country), closing(number, notes))
    else {
        panic!("these are no records of an exchange")
    };
    [
        Entry::opening(time(number), Some(caller(principal)), &opening),
        Entry::closing(retention(365), time(number), Some(caller(principal)), &closing),
    ]
}

/// Runs a future to its end.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Writes so many exchanges of two people to two countries, each record in a commit of its own.
pub(crate) fn write(ledger: &Ledger, count: u64) {
    for number in 0..count {
        let [principal, upstream, country] =
            if number % 2 == 0 { ["kari", "billing", "NO"] } else { ["ola", "mail", "DE"] };
        for entry in exchange(number, principal, upstream, country, &[note("card", Action::Mask)]) {
            run(ledger.append(entry)).unwrap();
        }
    }
}
