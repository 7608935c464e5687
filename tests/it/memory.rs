//! What is held in memory for bodies, and who is refused when it is too much.

use std::net::SocketAddr;
use std::time::Duration;

use gateway_tests::client::{Client, PROTOCOLS, Response};
use gateway_tests::duplex::{Duplex, run};
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::{Service, Spawned, mib};
use gateway_tests::raw::Http2;
use gateway_tests::upstream::{ScriptBody, text};
use http_body_util::BodyExt;
use tokio::sync::watch;

const MIB: usize = 1 << 20;

fn config(upstream: SocketAddr, plugins: &str, more: &str) -> String {
    format!(
        "listeners:
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}
plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{upstream}\"]}}}}
routes:
  - {{name: fixed, match: {{path: {{prefix: /fixed}}}}, respond: {{status: 200, body: fixed}}}}
  - {{name: all, match: {{path: {{prefix: /}}}}, plugins: [{plugins}], upstream: one}}
{more}
"
    )
}

/// An upstream that reads no body before it is let.
fn holding() -> (Service, watch::Sender<bool>) {
    let (release, released) = watch::channel(false);
    let service = Service::start(move |request| {
        let mut released = released.clone();
        async move {
            let _ = released.wait_for(|released| *released).await;
            let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
            text(200, length.to_string())
        }
    });
    (service, release)
}

fn is_refused(response: &Response, error: &str) -> bool {
    response.status == 503
        && !response.header("retry-after").is_empty()
        && response.header("proxy-status").contains(&format!("details=\"{error}\""))
}

#[test]
fn uploads_that_a_plugin_wants_whole_stay_within_the_budget_and_the_others_are_told_to_come_again() {
    const SIZE: usize = 8_000_000;
    let (upstream, release) = holding();
    let yaml = config(upstream.address(), "{name: test-guest}", "limits: {body_memory: 32MiB}");
    let gateway = TestGateway::start(&yaml, &["test-guest"]);
    let clients: Vec<_> = (0..9)
        .map(|number| {
            let (clear, tls) = (gateway.listener("clear"), gateway.listener("tls"));
            std::thread::spawn(move || {
                let protocol = PROTOCOLS[number % 3];
                let mut client =
                    if protocol == "http1" { Client::http1(clear) } else { Client::tls(protocol, tls, "localhost") };
                let request = http::Request::post("/").header("x-do", "request_headers=whole");
                client.send(request, vec![b'x'; SIZE])
            })
        })
        .collect();
    let held = || {
        let held = gateway.metric("gateway_body_memory_bytes", &[]);
        assert!(held <= 36.0 * MIB as f64, "{held} bytes are held");
        held
    };
    // Four at most have room; the upstream takes none of them, so the rest are refused.
    eventually("the others are refused", || {
        held();
        let refused = gateway.access_log().iter().filter(|line| line["error"] == "body-memory").count();
        (refused >= 5).then_some(())
    });
    assert!(held() > 0.0);
    release.send(true).expect("the upstream runs");
    let responses: Vec<Response> = clients.into_iter().map(|client| client.join().expect("a client")).collect();
    let (served, refused): (Vec<_>, Vec<_>) = responses.iter().partition(|response| response.status == 200);
    assert!((1..=4).contains(&served.len()), "{} were served", served.len());
    assert!(served.iter().all(|response| response.text() == SIZE.to_string()));
    assert!(refused.iter().all(|response| is_refused(response, "body-memory")), "{refused:?}");
    assert!(gateway.metric("gateway_body_memory_refused_total", &[]) >= 5.0);
    eventually("all of it comes back", || (held() == 0.0).then_some(()));
    let mut again = Client::http1(gateway.listener("clear"));
    let request = http::Request::post("/").header("x-do", "request_headers=whole");
    assert_eq!(again.send(request, vec![b'x'; SIZE]).status, 200);
}

#[test]
fn what_a_plugin_answers_with_counts_as_well() {
    let (upstream, _release) = holding();
    let yaml = config(upstream.address(), "{name: test-guest, config: {id: a}}", "limits: {body_memory: 1MiB}")
        .replace(
            "directory: plugins",
            "directory: plugins, limits: {test-guest: {cpu: 5s, output: 16MiB, memory: 64MiB}}",
        );
    let gateway = TestGateway::start(&yaml, &["test-guest"]);
    let response = Client::http1(gateway.listener("clear")).get_with("/", &[("x-do", "a/request_headers=big")]);
    assert!(is_refused(&response, "body-memory"), "{} {:?}", response.status, response.headers);
}

/// Sends until nothing takes any more: what the kernel holds is not counted.
async fn stuff(upload: &mut Duplex) {
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(300), upload.send(vec![b'x'; 16 << 10])).await {}
}

/// The gateway has let the client send them, whether or not it reads them.
#[test]
fn uploads_that_nobody_takes_use_the_budget_up_until_they_are_gone() {
    let (upstream, _release) = holding();
    let gateway = TestGateway::start(&config(upstream.address(), "", "limits: {body_memory: 1MiB}\nworkers: 1"), &[]);
    let held = || gateway.metric("gateway_body_memory_bytes", &[]);
    // The test's client blocks; not in the runtime of the uploads.
    let counts = |bytes: f64| {
        let look = || eventually("its window counts", || (held() >= bytes).then_some(()));
        std::thread::scope(|scope| scope.spawn(look).join().expect("it does"));
    };
    run("uploads", async {
        let mut uploads = Vec::new();
        for number in 1..=4_u32 {
            let mut upload = Duplex::open("http2", &gateway, http::Request::post("/")).await;
            stuff(&mut upload).await;
            counts(f64::from(number) * 262_144.0);
            uploads.push(upload);
        }
        // The reserve of those who have begun.
        let mut fifth = Duplex::open("http2", &gateway, http::Request::post("/")).await;
        stuff(&mut fifth).await;
        let refused = fifth.head().await;
        assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (503, true));
        drop((uploads, fifth));
    });
    eventually("all of it comes back", || (held() == 0.0).then_some(()));
    assert_eq!(Client::http1(gateway.listener("clear")).get("/fixed").status, 200);
}

/// A response of `pieces` times 64 KiB.
fn long(pieces: usize) -> http::Response<ScriptBody> {
    text(200, vec![b'x'; pieces * (64 << 10)])
}

#[test]
fn a_connection_with_128_responses_that_nobody_reads_holds_a_piece_of_each() {
    let upstream = Service::start(|_| async { long(64) });
    let gateway = Spawned::start(&config(upstream.address(), "", ""), |_| {});
    let admin = gateway.admin();
    let metric = |name: &str| -> f64 {
        let text = Client::http1(admin).get("/metrics").text();
        let line = text.lines().find(|line| line.starts_with(name)).expect("the metric").to_owned();
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    };
    // Connections to the upstream that have seen large responses already.
    let mut warm = Client::h2c(gateway.listener("clear"));
    assert_eq!(warm.get("/").body.len(), 4 << 20);
    let before = gateway.memory();
    let window = (1 << 31) - 1;
    let mut client = Http2::connect(gateway.listener("clear"), &[(4, window)]);
    client.send(8, 0, 0, &(window - 65_535).to_be_bytes());
    for stream in 0..128 {
        client.get(2 * stream + 1);
    }
    eventually("all are asked for", || (metric("gateway_upstream_requests_in_flight") >= 128.0).then_some(()));
    // One that is read goes on beside them, over the other connection; and then they have had their time.
    for _ in 0..5 {
        assert_eq!(warm.get("/").body.len(), 4 << 20);
    }
    let held = metric("gateway_body_memory_bytes");
    assert!(held < 12.0 * MIB as f64, "{held} bytes are held");
    let grown = mib(gateway.memory().saturating_sub(before));
    assert!(grown < 32.0, "grown by {grown} MiB");
    drop(client);
    eventually("all of it comes back", || (metric("gateway_body_memory_bytes") == 0.0).then_some(()));
}

#[test]
fn instances_of_plugins_have_a_bound_together() {
    let (upstream, _release) = holding();
    let more = "limits: {plugin_memory: 24MiB}\nworkers: 1";
    let yaml = config(upstream.address(), "{name: test-guest, config: {id: a}}", more);
    let gateway = TestGateway::start(&yaml, &["test-guest"]);
    let address = gateway.listener("clear");
    // Each needs some 10 MiB in its instance for as long as it holds the stream.
    let clients: Vec<_> = (0..6)
        .map(|_| {
            std::thread::spawn(move || {
                let told = "a/request_headers=whole";
                let request = http::Request::post("/").header("x-do", told);
                Client::http1(address).send(request, vec![b'x'; 4_000_000]).status
            })
        })
        .collect();
    eventually("they are in flight or refused", || {
        let used = gateway.metric("gateway_plugin_memory_bytes", &[]);
        assert!(used <= 24.0 * MIB as f64, "{used}");
        let flying = gateway.metric("gateway_upstream_requests_in_flight", &[]);
        (flying + gateway.access_log().len() as f64 >= 6.0).then_some(())
    });
    _release.send(true).expect("the upstream runs");
    for client in clients {
        assert!([200, 503].contains(&client.join().expect("a client")));
    }
    // What has grown makes room, so that there is some for everybody afterwards.
    for _ in 0..3 {
        let request = http::Request::post("/").header("x-do", "a/request_headers=whole");
        assert_eq!(Client::http1(address).send(request, vec![b'x'; 4_000_000]).status, 200);
    }
}

/// As the guide for plugins has it: what is parsed takes many times its size.
#[test]
fn json_that_is_too_large_once_it_is_parsed_fails_with_the_key_that_bounds_it() {
    let upstream = Service::start(|request| async move {
        let body = request.into_body().collect().await.expect("whole").to_bytes();
        text(200, body)
    });
    let objects = |count: usize| {
        let object = |number| format!(r#"{{"id":{number:06},"name":"name-{number}","total":{number}}}"#);
        format!("[{}]", (100_000..100_000 + count).map(object).collect::<Vec<_>>().join(","))
    };
    let (small, large) = (objects(10_000), objects(40_000));
    assert!(small.len() >= 480_000 && large.len() >= 1_960_000, "{} and {}", small.len(), large.len());
    let plain = config(upstream.address(), "{name: test-guest}", "");
    let more = plain.replace("directory: plugins", "directory: plugins, limits: {test-guest: {memory: 64MiB}}");
    let parse = |gateway: &TestGateway, body: &str| {
        let request = http::Request::post("/").header("x-do", "request_headers=whole,request_body=json");
        Client::http1(gateway.listener("clear")).send(request, body.to_owned())
    };
    let gateway = TestGateway::start(&plain, &["test-guest"]);
    assert_eq!(parse(&gateway, &small).text(), "10000");
    assert_eq!(parse(&gateway, &large).status, 503);
    let record = gateway.logged("the failure", |line| line["error"] == "plugin");
    let detail = record["detail"].as_str().expect("text");
    assert!(detail.contains("plugin `test-guest`") && detail.contains("plugins.limits.test-guest.memory"), "{detail}");
    let gateway = TestGateway::start(&more, &["test-guest"]);
    assert_eq!(parse(&gateway, &large).text(), "40000");
}
