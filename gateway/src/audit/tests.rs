//! When records are confirmed, on a disk that is held back or fails; and that each exchange has its two, however it ends.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::audit::faults::FaultyDisk;
use ::audit::ledger::Durability;
use ::audit::query::{Exchange as Found, Filter, query};
use ::audit::record;
use ::audit::verify::{Known, verify};
use ::audit::vocabulary::{Action, Auth, Outcome, Place};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use plugin_rules::audit as told;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::exchange::{ConnectionInfo, Exchange, Protocol, RequestHead, ResponseHead, ResponseSource, SharedExchange};
use crate::message::headers::RequestId;
use crate::message::{Body, FieldMap};
use crate::model::{Audit, AuditFailure, Secret};

/// An open trail on a disk that obeys.
struct Bench {
    directory: tempfile::TempDir,
    disk: FaultyDisk,
    trail: Trail,
    route: Rc<AuditedRoute>,
}

fn bench(on_failure: AuditFailure) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let settings = Audit {
        directory: directory.path().to_owned(),
        gateway: "edge-1".parse().unwrap(),
        durability: Durability::SYNC,
        pseudonym_keys: vec![Secret::new(vec![7; 32])],
        signing_key: None,
        on_failure,
        timeout: Duration::from_secs(10),
        min_free: 0,
        categories: Vec::new(),
        segment_bytes: 64 << 20,
        segment_age: Duration::from_secs(86_400),
        ship: None,
    };
    let disk = FaultyDisk::new();
    let trail = Trail::open_on(&settings, Arc::new(disk.clone())).unwrap();
    let upstream = record::Upstream {
        controller: Some("Example AS".parse().unwrap()),
        country: Some("NO".parse().unwrap()),
        name: "billing".parse().unwrap(),
        region: None,
    };
    let route = AuditedRoute {
        trail: trail.clone(),
        declared: record::Route {
            legal_basis: "contract".parse().unwrap(),
            name: "orders".parse().unwrap(),
            purpose: "order handling".parse().unwrap(),
            retention: "365d".parse().unwrap(),
        },
        plugins: vec!["pii-redact".parse().unwrap()],
        upstreams: [("billing".into(), upstream)].into(),
        unfinished: Rc::default(),
    };
    Bench { directory, disk, trail, route: Rc::new(route) }
}

impl Bench {
    async fn records(&self, exchange: &SharedExchange) -> Box<Records> {
        Records::begin(&self.route, exchange, Rc::default()).await
    }

    /// Closes the ledger, checks it, and reads every exchange.
    async fn found(&self) -> Vec<Found> {
        while self.route.unfinished.count() > 0 {
            tokio::task::yield_now().await;
        }
        self.trail.close(Duration::from_secs(10));
        let verified = verify(self.directory.path(), &Known::default()).unwrap();
        assert!(verified.is_good(), "{:?}", verified.findings);
        query(self.directory.path(), &Filter::default()).unwrap()
    }

    /// How many records of exchanges there are.
    fn written(&self) -> u64 {
        (self.trail.counts())().records
    }
}

fn exchange() -> Box<Exchange> {
    let path = PathAndQuery::from_static("/orders/1");
    let request = RequestHead::new(Method::GET, "https", "a.example".into(), path, FieldMap::new());
    let connection = ConnectionInfo::local(Protocol::Http2);
    let mut exchange = Exchange::new(RequestId::random(), connection, [192, 0, 2, 1].into(), request);
    exchange.upstream = Some("billing".into());
    Box::new(exchange)
}

/// One whose response has come from its upstream.
fn answered() -> SharedExchange {
    let mut exchange = exchange();
    exchange.set_attribute("principal", "kari".to_owned());
    exchange.source = ResponseSource::Upstream;
    exchange.measures.attempts = 1;
    exchange.response = Some(ResponseHead::new(StatusCode::OK, FieldMap::new()));
    SharedExchange::new(exchange)
}

/// Runs as a worker does.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap().block_on(test)
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A body of pieces whose length nobody knows.
fn stream(pieces: &'static [&'static str]) -> Body {
    let frames = pieces.iter().map(|piece| Ok::<_, Error>(Frame::data(Bytes::from_static(piece.as_bytes()))));
    Body::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}

/// A body that says how long it is.
fn told_length(content: &'static str) -> Body {
    Body::boxed(Full::new(Bytes::from_static(content.as_bytes())).map_err(|never| match never {}))
}

#[test]
fn the_request_waits_for_the_sync_of_its_opening_record() {
    run(async {
        let bench = bench(AuditFailure::Refuse);
        let exchange = answered();
        let mut records = bench.records(&exchange).await;
        bench.disk.hold_syncs();
        let mut opening = Box::pin(records.open());
        assert!(poll(opening.as_mut()).is_pending());
        bench.disk.wait_for_held_sync();
        assert!(poll(opening.as_mut()).is_pending(), "it is written, and not on disk");
        bench.disk.release_syncs();
        assert!(opening.await.is_ok());
        records.open().await.unwrap();
        drop(records);
        assert_eq!(bench.found().await.len(), 1, "opened once");
    });
}

#[test]
fn no_last_byte_leaves_before_the_sync_of_its_closing_record_returns() {
    run(async {
        let bench = bench(AuditFailure::Refuse);
        for (body, early) in [(stream(&["a", "b"]), 2), (stream(&["ab"]), 1), (told_length("ab"), 0)] {
            let exchange = answered();
            let mut records = bench.records(&exchange).await;
            records.open().await.unwrap();
            let mut body = seal(records, false, body).await.unwrap();
            // Syncs are paced: whatever is under way has ended.
            bench.disk.hold_syncs();
            for _ in 0..early {
                let mut frame = pin!(body.frame());
                assert!(matches!(poll(frame.as_mut()), Poll::Ready(Some(Ok(_)))), "pieces before the end pass at once");
            }
            assert!(poll(pin!(body.frame())).is_pending());
            bench.disk.wait_for_held_sync();
            assert!(poll(pin!(body.frame())).is_pending() && !body.is_end_stream());
            bench.disk.release_syncs();
            let rest = body.collect().await.unwrap().to_bytes();
            assert_eq!(rest.len(), if early == 0 { 2 } else { 0 });
        }
        let found = bench.found().await;
        let closings: Vec<_> = found.iter().map(|found| found.closing.as_ref().unwrap()).collect();
        assert!(closings.iter().all(|closing| closing.outcome == Outcome::Complete && closing.bytes.sent == 2));
        assert_eq!(closings.len(), 3);
    });
}

#[test]
fn a_response_without_a_body_or_with_a_short_one_has_its_record_before_its_head() {
    run(async {
        let bench = bench(AuditFailure::Refuse);
        for (is_head, body, sent) in
            [(true, stream(&["a"]), 0), (false, Body::empty(), 0), (false, Body::full("abc"), 3)]
        {
            let exchange = answered();
            let mut records = bench.records(&exchange).await;
            records.open().await.unwrap();
            let before = bench.written();
            let sealed = seal(records, is_head, body).await.unwrap();
            assert_eq!(bench.written(), before + 1, "nothing was read of the body");
            drop(sealed);
            assert_eq!(bench.route.unfinished.count(), 0);
            let found = query(bench.directory.path(), &Filter::default()).unwrap();
            assert_eq!(found.last().unwrap().closing.as_ref().unwrap().bytes.sent, sent);
        }
        assert_eq!(bench.found().await.len(), 3);
    });
}

#[test]
fn what_is_given_up_has_both_records_once_wherever_it_was() {
    run(async {
        let bench = bench(AuditFailure::Refuse);
        // Before anything went upstream.
        drop(bench.records(&SharedExchange::new(exchange())).await);
        // While the opening record was on its way.
        let exchange = answered();
        let mut records = bench.records(&exchange).await;
        bench.disk.hold_syncs();
        assert!(poll(pin!(records.open())).is_pending());
        drop(records);
        bench.disk.release_syncs();
        // While the response was sent.
        let exchange = answered();
        let mut records = bench.records(&exchange).await;
        records.open().await.unwrap();
        let mut body = seal(records, false, stream(&["a", "b"])).await.unwrap();
        body.frame().await.unwrap().unwrap();
        drop(body);
        // While its end was held back.
        let exchange = answered();
        let mut records = bench.records(&exchange).await;
        records.open().await.unwrap();
        let mut body = seal(records, false, stream(&[])).await.unwrap();
        bench.disk.hold_syncs();
        assert!(poll(pin!(body.frame())).is_pending());
        drop(body);
        bench.disk.release_syncs();
        let found = bench.found().await;
        let outcomes: Vec<_> = found.iter().map(|found| found.closing.as_ref().unwrap().outcome).collect();
        assert_eq!(outcomes.len(), 4, "{found:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::ClientLeft).count(), 3, "{outcomes:?}");
        assert_eq!(found.iter().filter(|found| found.opening.upstream.is_none()).count(), 1);
        assert_eq!(bench.written(), 8);
    });
}

#[test]
fn a_disk_that_fails_refuses_or_alarms() {
    run(async {
        let refusing = bench(AuditFailure::Refuse);
        let exchange = answered();
        let mut records = refusing.records(&exchange).await;
        refusing.disk.set_room(Some(0));
        let error = records.open().await.unwrap_err();
        assert_eq!((error.kind(), error.kind().status()), (ErrorKind::Audit, StatusCode::SERVICE_UNAVAILABLE));
        assert!(error.kind().is_passing() && !error.detail().is_empty());
        let said = seal(records, false, Body::full("refused")).await;
        assert!(said.is_ok(), "the refusal itself is not refused");
        let counts = (refusing.trail.counts())();
        assert!(counts.failing && counts.refuses && counts.unrecorded == 0);

        let alarming = bench(AuditFailure::Alarm);
        let mut records = alarming.records(&exchange).await;
        alarming.disk.set_room(Some(0));
        records.open().await.unwrap();
        let body = seal(records, false, stream(&["a"])).await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "a");
        let counts = (alarming.trail.counts())();
        assert!(counts.failing && !counts.refuses && counts.unrecorded == 2, "{counts:?}");
    });
}

#[test]
fn a_response_whose_closing_record_fails_does_not_end_well() {
    run(async {
        let bench = bench(AuditFailure::Refuse);
        let exchange = answered();
        let mut records = bench.records(&exchange).await;
        records.open().await.unwrap();
        let mut body = seal(records, false, stream(&["a"])).await.unwrap();
        body.frame().await.unwrap().unwrap();
        bench.disk.set_room(Some(0));
        assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), ErrorKind::Audit);
    });
}

#[test]
fn records_say_what_became_of_an_exchange() {
    let bench = bench(AuditFailure::Refuse);
    let closing = |change: &dyn Fn(&mut Exchange), end| {
        let mut exchange = exchange();
        change(&mut exchange);
        let id = record::RequestId([1; 16]);
        describe::closing(&bench.route, &exchange, id, record::Bytes::default(), end)
    };
    let from = |source, status: u16| {
        move |exchange: &mut Exchange| {
            exchange.source = source;
            exchange.response = Some(ResponseHead::new(StatusCode::from_u16(status).unwrap(), FieldMap::new()));
        }
    };
    let failed = |kind: ErrorKind, attempts| {
        move |exchange: &mut Exchange| {
            from(ResponseSource::Gateway, kind.status().as_u16())(exchange);
            exchange.error = Some(kind.into());
            exchange.measures.attempts = attempts;
        }
    };
    use describe::End::{GivenUp, Ready};
    type Change = Box<dyn Fn(&mut Exchange)>;
    let cases: [(Change, _, _, _); 11] = [
        (Box::new(from(ResponseSource::Upstream, 200)), Ready, Outcome::Complete, Auth::None),
        (Box::new(from(ResponseSource::Route, 308)), Ready, Outcome::Complete, Auth::None),
        (Box::new(from(ResponseSource::Stored(0), 200)), Ready, Outcome::Stored, Auth::None),
        (Box::new(from(ResponseSource::Plugin(0), 401)), Ready, Outcome::Refused, Auth::Deny),
        (Box::new(from(ResponseSource::Plugin(0), 429)), Ready, Outcome::Refused, Auth::None),
        (Box::new(failed(ErrorKind::BodyTooLarge, 0)), Ready, Outcome::Refused, Auth::None),
        (Box::new(failed(ErrorKind::Connect, 1)), Ready, Outcome::UpstreamFailed, Auth::None),
        (Box::new(failed(ErrorKind::ResponseTimeout, 1)), Ready, Outcome::TimedOut, Auth::None),
        (Box::new(failed(ErrorKind::Reset, 1)), GivenUp, Outcome::UpstreamFailed, Auth::None),
        (Box::new(from(ResponseSource::Upstream, 200)), GivenUp, Outcome::ClientLeft, Auth::None),
        (
            Box::new(move |exchange| {
                from(ResponseSource::Upstream, 403)(exchange);
                exchange.set_attribute("principal", "kari".to_owned());
            }),
            Ready,
            Outcome::Complete,
            Auth::Allow,
        ),
    ];
    for (number, (change, end, outcome, auth)) in cases.iter().enumerate() {
        let closing = closing(change, *end);
        assert_eq!((closing.outcome, closing.auth), (*outcome, *auth), "{number}");
    }
}

#[test]
fn notes_of_plugins_are_kept_in_known_words_and_others_counted() {
    let bench = bench(AuditFailure::Refuse);
    let mut exchange = exchange();
    for (by, category, place, action) in [
        (0, "card", told::Place::RequestBody, told::Action::Masked),
        (0, "email", told::Place::RequestQuery, told::Action::Found),
        (0, "kari-nordmann", told::Place::RequestBody, told::Action::Masked),
        (9, "card", told::Place::RequestBody, told::Action::Masked),
    ] {
        exchange.audit_notes.add(by, category, (place, action), 2).unwrap();
    }
    let id = record::RequestId([1; 16]);
    let closing = describe::closing(&bench.route, &exchange, id, record::Bytes::default(), describe::End::Ready);
    let notes: Vec<_> =
        closing.categories.iter().map(|note| (note.category.as_str(), note.place, note.action, note.count)).collect();
    assert_eq!(notes, [("card", Place::RequestBody, Action::Mask, 2), ("email", Place::Query, Action::Pass, 2)]);
    assert_eq!(closing.omitted, 2);
}
