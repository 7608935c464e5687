//! Event streams through a plugin that reads them: as many as there are clients, whatever becomes of plugins meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::duplex::{Duplex, run, streamed};
use gateway_tests::gateway::{TestGateway, install};
use gateway_tests::load::{Service, Spawned, mib};
use gateway_tests::{PATIENCE, eventually, guests};
use tokio::sync::mpsc;

type Sender = http_body_util::channel::Sender<Bytes, std::io::Error>;

/// An upstream that answers `/events` with a body that the test writes, and everything else at once.
fn upstream() -> (Service, mpsc::UnboundedReceiver<Sender>) {
    let (give, take) = mpsc::unbounded_channel();
    let service = Service::start(move |request| {
        let response = match request.uri().path() {
            "/events" => {
                let (sender, response) = streamed("text/event-stream");
                let _ = give.send(sender);
                response
            }
            _ => gateway_tests::upstream::text(200, "plain"),
        };
        async move { response }
    });
    (service, take)
}

fn yaml(upstream: SocketAddr, listeners: &str, timeouts: &str, plugins: &str) -> String {
    format!(
        "listeners: [{listeners}]
workers: 1
plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{upstream}\"], limits: {{requests: 10000}}}}}}
limits: {{requests_per_worker: 10000}}
routes:
  - {{name: other, match: {{path: {{prefix: /other}}}}, plugins: [{{name: hello-plugin, config: {{value: x}}}}], upstream: one}}
  - {{name: all, match: {{path: {{prefix: /}}}}, timeouts: {{{timeouts}}}, plugins: [{plugins}], upstream: one}}
"
    )
}

const CLEAR: &str = "{name: clear, address: \"127.0.0.1:0\", protocols: [http1], limits: {connections: 10000}}";
const EVENTS: &str = "response_headers=chunks,response_body=number";

/// A client of an event stream.
struct Listening(BufReader<TcpStream>);

impl Listening {
    fn open(gateway: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(gateway).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let head = format!("GET /events HTTP/1.1\r\nhost: a\r\nx-do: {EVENTS}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        Self(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("something comes");
        line.trim_end().to_owned()
    }

    fn head(&mut self) -> String {
        let status = self.line();
        while !self.line().is_empty() {}
        status
    }

    fn chunk(&mut self) -> String {
        let length = usize::from_str_radix(&self.line(), 16).expect("a chunk");
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).expect("all of it");
        bytes.truncate(length);
        String::from_utf8(bytes).expect("text")
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// The sum of a plugin's gauge.
fn instances(metrics: SocketAddr, plugin: &str) -> f64 {
    let named = format!("plugin=\"{plugin}\"");
    let page = get(metrics, "/metrics");
    let lines = page.lines().filter(|line| line.starts_with("gateway_plugin_instances{") && line.contains(&named));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn two_thousand_event_streams_hold_no_instance_and_no_swap_cuts_one() {
    const STREAMS: usize = 2000;
    const SWAPS: usize = 100;
    let (upstream, mut requests) = upstream();
    let plugins = "{name: test-guest}";
    let gateway = Spawned::start(&yaml(upstream.address(), CLEAR, "request: 60s", plugins), |directory| {
        install("test-guest", &directory.join("plugins"));
        install("hello-plugin", &directory.join("plugins"));
    });
    let (address, admin) = (gateway.listener("clear"), gateway.admin());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("one");
    let mut senders = Vec::new();
    let event = |senders: &mut Vec<Sender>, text: &'static str| {
        runtime.block_on(async {
            for sender in senders {
                sender.send_data(Bytes::from_static(text.as_bytes())).await.expect("the stream is open");
            }
        });
    };
    let mut open = |count: usize, senders: &mut Vec<Sender>| -> Vec<Listening> {
        (0..count)
            .map(|_| {
                let mut client = Listening::open(address);
                senders.push(requests.blocking_recv().expect("a request"));
                // Nothing has come of the body.
                assert_eq!(client.head(), "HTTP/1.1 200 OK");
                client
            })
            .collect()
    };
    let mut clients = open(10, &mut senders);
    event(&mut senders, "a");
    clients.iter_mut().for_each(|client| assert_eq!(client.chunk(), "1:a"));
    let before = gateway.memory();
    let mut more = Vec::new();
    clients.extend(open(STREAMS - 10, &mut more));
    event(&mut more, "a");
    clients[10..].iter_mut().for_each(|client| assert_eq!(client.chunk(), "1:a"));
    senders.extend(more);
    let each = gateway.memory().saturating_sub(before) / STREAMS;
    eprintln!("{STREAMS} streams: {:.1} MiB, {each} bytes each", mib(each * STREAMS));
    assert!(each < 64 << 10, "{each} bytes each");
    assert!(instances(admin, "test-guest") < 10.0, "one is held only during a call");
    assert!(get(address, "/").ends_with("plain"), "other requests of the route are served");

    // Swaps of another plugin, and one of the plugin itself.
    let built = guests::built("hello-plugin");
    let other = guests::replaced(built.clone(), b"x-hello", b"x-hallo");
    let directory = gateway.directory().join("plugins");
    for swap in 0..SWAPS {
        let (bytes, name) = if swap % 2 == 0 { (&other, "x-hallo") } else { (&built, "x-hello") };
        guests::put(&directory, "hello-plugin.wasm", bytes);
        eventually("the swap", || get(address, "/other").contains(name).then_some(()));
    }
    guests::put(&directory, "test-guest.wasm", &guests::other_build());
    eventually("the swap", || get(address, "/").contains("test-guest-build-B").then_some(()));
    event(&mut senders, "b");
    clients.iter_mut().for_each(|client| assert_eq!(client.chunk(), "2:b"));
    event(&mut senders, "c");
    clients.iter_mut().for_each(|client| assert_eq!(client.chunk(), "3:c"));
    assert!(instances(admin, "test-guest") < 10.0);
    drop((senders, clients));
    eventually("what was replaced goes with its last stream", || (instances(admin, "test-guest") <= 1.0).then_some(()));
}

#[test]
fn an_event_that_comes_after_the_request_timeout_is_no_timeout() {
    let listeners = "{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}, {name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {self_signed: [localhost]}}";
    let (upstream, mut requests) = upstream();
    let yaml = yaml(upstream.address(), listeners, "request: 300ms", "{name: test-guest}");
    let gateway = TestGateway::start(&yaml, &["test-guest", "hello-plugin"]);
    for protocol in PROTOCOLS {
        run(protocol, async {
            let request = http::Request::get("/events").header("x-do", EVENTS);
            let mut client = Duplex::open(protocol, &gateway, request).await;
            let mut sender = requests.recv().await.expect("a request");
            assert_eq!(client.head().await.status(), 200, "{protocol}");
            tokio::time::sleep(Duration::from_millis(600)).await;
            sender.send_data("late".into()).await.expect("the stream is open");
            assert_eq!(client.piece().await, "1:late", "{protocol}");
        });
    }
}

#[test]
fn a_plugin_that_keeps_streams_in_its_instance_has_one_for_each_and_its_answer_before_the_head() {
    let (upstream, mut requests) = upstream();
    let yaml = yaml(upstream.address(), CLEAR, "request: 60s", "{name: test-guest}");
    let gateway = TestGateway::prepare(&yaml, |directory| {
        install("hello-plugin", &directory.join("plugins"));
        guests::put(&directory.join("plugins"), "test-guest.wasm", &guests::holding_streams());
    });
    let gateway = gateway.unwrap_or_else(|error| panic!("{error}"));
    let mut clients = Vec::new();
    let mut senders = Vec::new();
    run("events", async {
        for _ in 0..5 {
            let request = http::Request::get("/events").header("x-do", EVENTS);
            let mut client = Duplex::open("http1", &gateway, request).await;
            let mut sender = requests.recv().await.expect("a request");
            sender.send_data("a".into()).await.expect("sent");
            assert_eq!((client.head().await.status().as_u16(), client.piece().await), (200, "1:a".into()));
            clients.push(client);
            senders.push(sender);
        }
    });
    assert!(gateway.metric("gateway_plugin_instances", &["test-guest"]) >= 5.0);
    let mut client = Client::http1(gateway.address());
    let answered = client.get_with("/", &[("x-do", "response_headers=chunks,response_body=respond")]);
    assert_eq!(answered.status, 298);
}

#[test]
fn the_head_of_a_response_that_is_read_in_chunks_is_gone_with_the_first_of_them() {
    let (upstream, _requests) = upstream();
    let yaml = yaml(upstream.address(), CLEAR, "request: 60s", "{name: test-guest}");
    let gateway = TestGateway::start(&yaml, &["test-guest", "hello-plugin"]);
    let ask = |what: &str| Client::http1(gateway.address()).get_with("/", &[("x-do", what)]);
    let chunks = ask("response_headers=chunks,response_body=mode").text();
    assert!(chunks.starts_with("Some(BodyMode::Chunks) Err") && chunks.contains("too-late"), "{chunks}");
    assert_eq!(ask("response_headers=whole,response_body=mode").text(), "Some(BodyMode::Whole) Ok(())");
    assert_eq!(ask("response_headers=whole,response_body=respond").status, 298);
}
