//! Draining: what was accepted is answered.

use std::sync::Arc;

use gateway::gateway::Drained;
use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};
use tokio::sync::Notify;

#[test]
fn a_request_in_flight_is_finished_before_the_gateway_ends() {
    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (arrived.clone(), release.clone());
    let upstream = Upstream::start_async(move |_| {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.notify_one();
            wait.notified().await;
            text(200, "late but whole")
        }
    });
    let yaml = format!(
        "listeners: [{{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2], tls: {{self_signed: [localhost]}}}}]
upstreams: {{slow: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: slow}}]
drain_timeout: 20s
",
        upstream.address()
    );
    for protocol in ["http1", "http2"] {
        let mut gateway = TestGateway::start(&yaml, &[]);
        let address = gateway.address();
        let request = std::thread::spawn(move || Client::tls(protocol, address, "localhost").get("/"));
        wait_for(&arrived);
        let draining = std::thread::spawn(move || gateway.drain());
        release.notify_one();
        let response = request.join().expect("answered");
        assert_eq!((response.status, response.text()), (200, "late but whole".to_owned()), "{protocol}");
        assert_eq!(draining.join().expect("drained"), Drained::Clean, "{protocol}");
    }
}

fn wait_for(notify: &Notify) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(gateway_tests::PATIENCE, notify.notified()).await })
        .expect("in time");
}
