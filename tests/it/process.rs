//! Upstreams that die, hang and reset, clients that are slow, SIGTERM: a gateway process under load loses nothing that
//! could be answered.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway_tests::client::{Client, NOT_SENT, PROTOCOLS, Response};
use gateway_tests::eventually;
use gateway_tests::gateway::install;
use gateway_tests::load::{Load, Service, Spawned};
use gateway_tests::upstream::text;
use tokio::sync::watch;

fn config(endpoints: &[SocketAddr], limits: &str, upstream: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "listeners:
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1]{limits}}}
upstreams: {{service: {{endpoints: [{}]{upstream}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
drain_timeout: 10s
",
        endpoints.join(", ")
    )
}

fn echoes(target: &str, response: &Response) -> Result<(), String> {
    match (response.status, response.text() == target) {
        (200, true) => Ok(()),
        _ => Err(format!("{} {:?}", response.status, response.text())),
    }
}

/// Answers with the target.
fn echo(request: &http::Request<hyper::body::Incoming>) -> http::Response<gateway_tests::upstream::ScriptBody> {
    text(200, request.uri().path().to_owned())
}

#[test]
fn sigterm_under_load_answers_every_request_that_was_accepted_and_ends_with_0() {
    let accepted: Arc<Mutex<HashSet<String>>> = Arc::default();
    let (release, released) = watch::channel(false);
    let record = accepted.clone();
    let upstream = Service::start(move |request| {
        record.lock().expect("no poison").insert(request.uri().path().to_owned());
        let (answer, mut released) = (echo(&request), released.clone());
        let held = request.uri().path().starts_with("/held");
        async move {
            if held {
                let _ = released.wait_for(|released| *released).await;
            } else {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            answer
        }
    });
    let mut gateway = Spawned::start(&config(&[upstream.address()], "", ""), |_| {});
    let address = gateway.listener("tls");
    let held = PROTOCOLS.map(|protocol| {
        std::thread::spawn(move || {
            let target = format!("/held/{protocol}");
            let response = Client::tls(protocol, address, "localhost").try_send(http::Request::get(&target), "");
            (protocol, response.and_then(|response| echoes(&target, &response)))
        })
    });
    eventually("the held requests are in flight", || {
        let accepted = accepted.lock().expect("no poison");
        (accepted.iter().filter(|target| target.starts_with("/held")).count() == PROTOCOLS.len()).then_some(())
    });
    let load = Load::start(address, 4, Duration::ZERO, echoes);
    eventually("the load runs", || (load.answered() > 200).then_some(()));
    // Its connection is made before: the admin listener is asked while the gateway drains.
    let mut admin = Client::http1(gateway.admin());
    assert_eq!(admin.get("/readyz").status, 200);

    let began = Instant::now();
    gateway.process.terminate();
    eventually("readiness fails", || (admin.get("/readyz").status == 503).then_some(()));
    let unready = began.elapsed();
    eventually("new connections are refused", || TcpStream::connect(address).is_err().then_some(()));
    // Now every client of the load meets the drain, while the held requests keep the gateway alive.
    release.send(true).expect("the upstream runs");
    for held in held {
        let (protocol, result) = held.join().expect("a client");
        assert_eq!(result, Ok(()), "a request in flight over {protocol}");
    }
    let (outcomes, _) = load.stop();
    let status = gateway.process.wait();
    let drained = began.elapsed();

    let accepted = accepted.lock().expect("no poison");
    let mut lost = Vec::new();
    for outcome in &outcomes {
        // A client that has been told to go elsewhere does so: before it sends, or when it hears that what it has sent was
        // not looked at (RFC 9114 section 4.1.1). Whatever else fails is lost.
        if let Some((target, error)) = &outcome.failed
            && (accepted.contains(target) || !(error.starts_with(NOT_SENT) || error.contains("H3_REQUEST_REJECTED")))
        {
            lost.push(format!("{target}: {error}"));
        }
    }
    let answered: usize = outcomes.iter().map(|outcome| outcome.answered.len()).sum();
    eprintln!(
        "SIGTERM under load: {answered} answered, {} accepted by the upstream, {} lost; unready after {unready:?}, ended \
         after {drained:?} with {status}",
        accepted.len(),
        lost.len()
    );
    assert_eq!(lost, Vec::<String>::new());
    assert_eq!(answered + PROTOCOLS.len(), accepted.len(), "what the upstream saw was answered");
    assert_eq!(status.code(), Some(0), "within drain_timeout");
    let records = gateway.access_log();
    assert_eq!(records.len(), accepted.len(), "one record per request");
    assert!(records.iter().all(|record| record["status"] == 200 && record["failure"].is_null()));
}

#[test]
fn requests_that_never_end_are_cut_at_the_drain_limit_and_recorded_and_the_exit_code_says_so() {
    let upstream = Service::start(|_| std::future::pending());
    let yaml = config(&[upstream.address()], "", "").replace("drain_timeout: 10s", "drain_timeout: 1s");
    let mut gateway = Spawned::start(&yaml, |_| {});
    let address = gateway.listener("tls");
    let stuck = PROTOCOLS.map(|protocol| {
        std::thread::spawn(move || {
            Client::tls(protocol, address, "localhost").try_send(http::Request::get(format!("/{protocol}")), "")
        })
    });
    let mut admin = Client::http1(gateway.admin());
    eventually("the requests are in flight", || {
        let metrics = admin.get("/metrics").text();
        metrics.lines().any(|line| line.contains("in_flight") && line.ends_with(" 3")).then_some(())
    });
    let began = Instant::now();
    gateway.process.terminate();
    assert_eq!(gateway.process.wait().code(), Some(3));
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    for stuck in stuck {
        assert!(stuck.join().expect("a client").is_err(), "a request without an answer was answered");
    }
    let records = gateway.access_log();
    let protocols: HashSet<&str> = records.iter().filter_map(|record| record["protocol"].as_str()).collect();
    assert_eq!((records.len(), protocols), (PROTOCOLS.len(), PROTOCOLS.into()), "one record per request");
    assert!(records.iter().all(|record| record["failure"] == "cancelled"), "{records:?}");
}

/// What a bad endpoint does with a connection once a request has come.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// RST before a response.
    Reset,
    /// A response that ends in the middle.
    Cut,
    /// Nothing.
    Hang,
}

/// An endpoint of raw bytes that shows `fault` to every request; the number of requests is counted.
fn faulty(fault: Fault, stopped: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut hanging = Vec::new();
        for stream in listener.incoming() {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            let Ok(mut stream) = stream else { break };
            let mut head = [0; 4096];
            match fault {
                Fault::Reset => {
                    // Closing with unread bytes sends RST.
                    let _ = stream.read(&mut head[..1]);
                }
                Fault::Cut => {
                    let _ = stream.read(&mut head);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort");
                }
                Fault::Hang => hanging.push(stream),
            }
        }
    });
    address
}

#[test]
fn upstreams_that_reset_cut_and_hang_fail_their_own_requests_and_are_left_out() {
    for fault in [Fault::Reset, Fault::Cut, Fault::Hang] {
        let stopped = Arc::new(AtomicBool::new(false));
        let bad = faulty(fault, stopped.clone());
        let good = Service::start(|request| {
            let answer = echo(&request);
            async move { answer }
        });
        // The good endpoint has to answer within it, also on a machine that stalls.
        let upstream = ", timeouts: {response: 2s}, passive_health: {max_failures: 3, fail_timeout: 60s}";
        let gateway = Spawned::start(&config(&[bad, good.address()], "", upstream), |_| {});
        let mut failed = 0;
        for protocol in PROTOCOLS {
            let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
            for number in 0..40 {
                let target = format!("/{protocol}/{number}");
                match (client.try_send(http::Request::get(&target), ""), fault) {
                    (Ok(response), _) if response.status == 200 => assert_eq!(echoes(&target, &response), Ok(())),
                    (Ok(response), Fault::Reset) => {
                        assert_eq!(response.status, 502, "{fault:?}: {}", response.text());
                        failed += 1;
                    }
                    (Ok(response), Fault::Hang) => {
                        assert_eq!(response.status, 504, "{fault:?}: {}", response.text());
                        failed += 1;
                    }
                    (Err(_), Fault::Cut) => {
                        failed += 1;
                        client = Client::tls(protocol, gateway.listener("tls"), "localhost");
                    }
                    (other, _) => panic!("{fault:?} {protocol} {number}: {other:?}"),
                }
            }
        }
        eprintln!("{fault:?}: {failed} of 120 requests failed, the others were answered by the good endpoint");
        assert!(failed > 0, "{fault:?}: the bad endpoint was never tried");
        // Three failures per worker's view at most take it out; there are two workers.
        // A body that is cut is the request's failure, not the endpoint's: its head had come in time.
        if !matches!(fault, Fault::Cut) {
            assert!(failed <= 6, "{fault:?}: {failed} requests met the bad endpoint");
        }
        stopped.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_endpoint_that_is_killed_under_load_costs_only_what_it_was_working_on() {
    let good = Service::start(|request| {
        let answer = echo(&request);
        async move { answer }
    });
    let doomed = Service::start(|request| {
        let answer = echo(&request);
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            answer
        }
    });
    let dead = doomed.address().to_string();
    let gateway = Spawned::start(&config(&[doomed.address(), good.address()], "", ""), |_| {});
    let refused: Arc<Mutex<Vec<(String, u16)>>> = Arc::default();
    let note = refused.clone();
    let load = Load::start(gateway.listener("tls"), 4, Duration::from_millis(2), move |target, response| {
        if response.status == 502 {
            note.lock().expect("no poison").push((target.to_owned(), response.status));
            return Ok(());
        }
        echoes(target, response)
    });
    eventually("the load runs", || (load.answered() > 300).then_some(()));
    let before = load.answered();
    drop(doomed);
    eventually("the load goes on", || (load.answered() > before + 600).then_some(()));
    let (outcomes, _) = load.stop();
    for outcome in &outcomes {
        assert_eq!(outcome.failed, None, "{}", outcome.protocol);
    }
    let refused = refused.lock().expect("no poison");
    eprintln!("an endpoint killed under load: {} requests got 502, {} went on", refused.len(), load_total(&outcomes));
    for (target, _) in &*refused {
        let record = eventually("its record", || {
            gateway.access_log().into_iter().find(|record| record["path"] == target.as_str())
        });
        // It was on a connection to the dead endpoint when that died; one that could not connect goes to the other.
        assert_eq!((&record["endpoint"], &record["error"]), (&dead.as_str().into(), &"reset".into()), "{record}");
    }
    assert!(refused.len() <= 12, "no more than one per client: {refused:?}");
}

fn load_total(outcomes: &[gateway_tests::load::Outcome]) -> usize {
    outcomes.iter().map(|outcome| outcome.answered.len()).sum()
}

#[test]
fn slow_clients_are_cut_and_the_others_do_not_notice() {
    let big = Service::start(|request| {
        let answer = match request.uri().path() {
            "/big" => text(200, vec![b'x'; 64 << 20]),
            _ => echo(&request),
        };
        async move { answer }
    });
    let limits = ", limits: {header_timeout: 1s, body_timeout: 1s}";
    let gateway = Spawned::start(&config(&[big.address()], limits, ""), |_| {});
    let address = gateway.listener("clear");
    let load = Load::start(gateway.listener("tls"), 1, Duration::from_millis(5), echoes);

    // A head that never ends, a byte at a time.
    let mut slow = TcpStream::connect(address).expect("connected");
    slow.set_nonblocking(true).expect("an option");
    let began = Instant::now();
    let mut answer = Vec::new();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ").expect("sent");
    eventually("the slow sender is cut", || {
        let sent = slow.write(b"x");
        let mut piece = [0; 512];
        match slow.read(&mut piece) {
            Ok(0) => return Some(()),
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Some(()),
        }
        sent.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock).then_some(())
    });
    let cut = began.elapsed();
    assert!(cut >= Duration::from_millis(900), "cut after {cut:?}");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");

    // A response that is never read.
    let before = gateway.memory();
    let mut unread = TcpStream::connect(address).expect("connected");
    unread.write_all(b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    let began = Instant::now();
    let record = eventually("the slow reader is cut", || {
        gateway.access_log().into_iter().find(|record| record["path"] == "/big")
    });
    let cut_reader = began.elapsed();
    let grown = gateway.memory().saturating_sub(before);
    eprintln!(
        "slow sender cut after {cut:?}, slow reader after {cut_reader:?} with {grown} bytes more memory: {record}"
    );
    assert!(cut_reader >= Duration::from_millis(900), "cut after {cut_reader:?}");
    assert_eq!(record["failure"], "cancelled");
    assert!(record["bytes_out"].as_u64().is_some_and(|bytes| bytes < 16 << 20), "{record}");
    assert!(grown < 16 << 20, "{grown} bytes");

    let (outcomes, _) = load.stop();
    for outcome in &outcomes {
        assert_eq!(outcome.failed, None, "{}", outcome.protocol);
        assert!(outcome.answered.len() > 10);
    }
}

#[test]
fn sigterm_is_heard_while_a_reload_runs() {
    let yaml = |verb: &str| {
        format!(
            "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
routes: [{{name: r, plugins: [{{name: test-guest, config: {{configure: {verb}}}}}], respond: {{status: 200}}}}]
"
        )
    };
    let mut gateway = Spawned::start(&yaml("fine"), |directory| install("test-guest", &directory.join("plugins")));
    let before = gateway.process.ticks();
    // Its `configure` never ends: it is refused after two seconds of CPU time.
    gateway.configure(&yaml("loop"));
    eventually("the reload is at work", || (gateway.process.ticks() > before + 30).then_some(()));
    gateway.process.terminate();
    let first = gateway.process.wait_for_either(&["draining", "refused"]);
    assert!(first.contains("draining"), "{first}");
    assert!(gateway.process.wait().success());
}

#[test]
fn a_gateway_without_plugins_reserves_no_address_space_for_them() {
    let routes = "routes: [{name: all, respond: {status: 204}}]\n";
    let listeners = "listeners: [{name: clear, address: \"127.0.0.1:0\"}]\n";
    let gateway = Spawned::start(&format!("{listeners}{routes}"), |_| {});
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process.id())).expect("it runs");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB")).expect("a size");
    let kibibytes: u64 = size.trim().parse().expect("a number");
    // A pool for one worker is a tebibyte.
    assert!(kibibytes < 64 << 20, "{kibibytes} KiB");
}
