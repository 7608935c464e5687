//! An upstream that hangs takes only its share of the gateway.

use gateway_tests::client::{Client, Response};
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::upstream::{Upstream, text};
use tokio::sync::watch;

/// A gateway before an upstream that answers nothing until it is let, and one that does.
struct World {
    gateway: TestGateway,
    release: watch::Sender<bool>,
    _upstreams: (Service, Upstream),
}

impl World {
    fn start(limits: &str, more: &str) -> Self {
        let (release, released) = watch::channel(false);
        let hung = Service::start(move |_| {
            let mut released = released.clone();
            async move {
                let _ = released.wait_for(|released| *released).await;
                text(200, "late")
            }
        });
        let healthy = Upstream::start(|_| text(200, "ok"));
        let yaml = format!(
            "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}]
upstreams:
  hung: {{endpoints: [\"{}\"]{limits}}}
  healthy: {{endpoints: [\"{}\"]}}
routes:
  - {{name: hung, match: {{path: {{prefix: /hung}}}}, upstream: hung}}
  - {{name: healthy, match: {{path: {{prefix: /}}}}, upstream: healthy}}
{more}
",
            hung.address(),
            healthy.address()
        );
        Self { gateway: TestGateway::start(&yaml, &[]), release, _upstreams: (hung, healthy) }
    }

    /// Asks the upstream that hangs over as many connections; returns when each is in flight or refused.
    fn ask(&self, requests: usize) -> Vec<std::thread::JoinHandle<Response>> {
        let address = self.gateway.address();
        let before = self.settled();
        let asked = (0..requests).map(|_| std::thread::spawn(move || Client::http1(address).get("/hung"))).collect();
        eventually("they are in flight or refused", || (self.settled() >= before + requests).then_some(()));
        asked
    }

    fn in_flight(&self) -> usize {
        self.gateway.metric("gateway_upstream_requests_in_flight", &["hung"]) as usize
    }

    fn settled(&self) -> usize {
        self.in_flight() + self.gateway.metric("gateway_upstream_refused_total", &["hung"]) as usize
    }

    fn healthy(&self) -> u16 {
        Client::http1(self.gateway.address()).get("/").status
    }
}

/// Sorted statuses; those that were refused are told to come again.
fn statuses(asked: Vec<std::thread::JoinHandle<Response>>) -> Vec<u16> {
    let mut statuses: Vec<u16> = asked
        .into_iter()
        .map(|client| {
            let response = client.join().expect("a client");
            if response.status == 503 {
                assert_eq!(response.header("retry-after"), "1");
                assert_eq!(response.header("proxy-status"), "gateway; error=connection_limit_reached");
            }
            response.status
        })
        .collect();
    statuses.sort_unstable();
    statuses
}

#[test]
fn an_upstream_that_hangs_leaves_room_for_the_others() {
    let world = World::start("", "workers: 1\nlimits: {requests_per_worker: 20}");
    let asked = world.ask(30);
    assert_eq!(world.in_flight(), 10, "half of what the worker may have");
    for _ in 0..50 {
        assert_eq!(world.healthy(), 200);
    }
    let record = world.gateway.logged("a refusal", |record| record["error"] == "upstream-limit");
    assert_eq!((&record["failure"], &record["attempts"]), (&"overload".into(), &0.into()), "{record}");
    assert_eq!(world.gateway.metric("gateway_upstream_failures_total", &["hung", "overload"]), 20.0);
    world.release.send(true).expect("the upstream runs");
    assert_eq!(statuses(asked), [vec![200; 10], vec![503; 20]].concat());
    // The places are free again.
    assert_eq!(statuses(world.ask_released(10)), vec![200; 10]);
}

impl World {
    /// Asks when nothing hangs any more.
    fn ask_released(&self, requests: usize) -> Vec<std::thread::JoinHandle<Response>> {
        let address = self.gateway.address();
        (0..requests).map(|_| std::thread::spawn(move || Client::http1(address).get("/hung"))).collect()
    }
}

#[test]
fn a_configured_number_of_requests_holds_over_all_workers() {
    let world = World::start(", limits: {requests: 5}", "workers: 2");
    let asked = world.ask(12);
    assert_eq!(world.in_flight(), 5);
    assert_eq!(world.healthy(), 200);
    world.release.send(true).expect("the upstream runs");
    assert_eq!(statuses(asked), [vec![200; 5], vec![503; 7]].concat());
}

#[test]
fn what_is_not_built_of_an_upstreams_limits_is_refused_by_name() {
    let yaml = "listeners: [{name: a, address: \"127.0.0.1:0\"}]
upstreams: {one: {endpoints: [\"127.0.0.1:1\"], limits: {connections: 5}}}
routes: [{name: all, upstream: one}]
";
    let error = TestGateway::try_start(yaml, &[]).err().expect("refused");
    assert!(error.contains("gateway.yaml:2:") && error.contains("unknown key \"connections\""), "{error}");
}
