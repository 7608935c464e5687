//! TLS, over both protocols.

use std::time::Duration;

use telemetry_export::{Protocol, Settings, Trust};

use crate::made::{export, quick, span, until};
use crate::receiver::{Authority, Receiver};

const PROTOCOLS: [Protocol; 3] = [Protocol::OtlpHttp, Protocol::OtlpGrpc, Protocol::Zipkin];

fn https(receiver: &Receiver, host: &str) -> Settings {
    let mut settings = receiver.settings();
    settings.endpoint = format!("https://{host}:{}", receiver.port).parse().expect("an endpoint");
    settings
}

#[tokio::test]
async fn a_collector_that_the_given_authority_vouches_for_is_trusted() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        for host in ["127.0.0.1", "localhost"] {
            let acceptor = authority.acceptor(host, protocol, false);
            let receiver = Receiver::bind(protocol, &[], 0, Some(acceptor)).await;
            let mut settings = https(&receiver, host);
            settings.trust = authority.trust();
            let export = export(settings, quick());
            let counters = export.counters().clone();
            export.sink().send(vec![span("a")]);
            export.finish(Duration::from_secs(10)).await;
            assert_eq!((counters.sent(), receiver.count()), (1, 1), "{protocol:?} {host}");
        }
    }
}

#[tokio::test]
async fn a_stranger_gets_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    for protocol in PROTOCOLS {
        // Vouched for by somebody else, by nobody that the system knows, for another name, and not at all.
        for (name, trust) in
            [("127.0.0.1", other.trust()), ("127.0.0.1", Trust::System), ("collector.example.no", authority.trust())]
        {
            let acceptor = authority.acceptor(name, protocol, false);
            let receiver = Receiver::bind(protocol, &[], 0, Some(acceptor)).await;
            let mut settings = https(&receiver, "127.0.0.1");
            settings.trust = trust;
            let export = export(settings, quick());
            export.sink().send(vec![span("a")]);
            until(export.counters(), |counters| counters.failed_exports() >= 2).await;
            assert_eq!((export.counters().sent(), receiver.count()), (0, 0), "{protocol:?} {name}");
        }
        let plain = Receiver::start(protocol, &[]).await;
        let mut settings = https(&plain, "127.0.0.1");
        settings.trust = authority.trust();
        let export = export(settings, quick());
        export.sink().send(vec![span("a")]);
        until(export.counters(), |counters| counters.failed_exports() >= 2).await;
        assert_eq!(plain.count(), 0);
    }
}

#[tokio::test]
async fn the_gateway_shows_who_it_is_where_that_is_asked_for() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let acceptor = authority.acceptor("127.0.0.1", protocol, true);
        let receiver = Receiver::bind(protocol, &[], 0, Some(acceptor)).await;
        let mut nameless = https(&receiver, "127.0.0.1");
        nameless.trust = authority.trust();
        let refused = export(nameless, quick());
        refused.sink().send(vec![span("a")]);
        until(refused.counters(), |counters| counters.failed_exports() >= 2).await;
        assert_eq!(receiver.count(), 0);

        let mut settings = https(&receiver, "127.0.0.1");
        settings.trust = authority.trust();
        settings.identity = Some(authority.identity("gateway"));
        let export = export(settings, quick());
        export.sink().send(vec![span("a")]);
        until(export.counters(), |counters| counters.sent() == 1).await;
    }
}
