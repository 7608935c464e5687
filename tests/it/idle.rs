//! Ten thousand idle connections cost little.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use gateway_tests::load::{Spawned, mib};
use rustix::process::{Resource, getrlimit, setrlimit};

const CONNECTIONS: usize = 10_000;
const BUDGET: usize = 200 << 20;

/// A request and its response.
fn exchange(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    let (mut response, mut piece) = (Vec::new(), [0; 1024]);
    while !response.ends_with(b"held") {
        let count = stream.read(&mut piece).expect("a response");
        assert!(count > 0, "the connection was closed after {:?}", String::from_utf8_lossy(&response));
        response.extend_from_slice(&piece[..count]);
    }
    assert!(response.starts_with(b"HTTP/1.1 200"));
}

fn connect(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("connected");
            stream.set_read_timeout(Some(gateway_tests::PATIENCE)).expect("an option");
            exchange(&mut stream);
            stream
        })
        .collect()
}

#[test]
fn ten_thousand_idle_connections_are_held_in_200_mib() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may be raised to the hard one");
    let enough = limit.current.is_none_or(|limit| limit > CONNECTIONS as u64 + 500);
    assert!(enough, "this test needs {} file descriptors (ulimit -Hn), not {limit:?}", CONNECTIONS + 500);

    let gateway = Spawned::start(
        "listeners: [{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}]
routes: [{name: all, match: {path: {prefix: /}}, respond: {status: 200, body: held}}]
",
        |_| {},
    );
    let address = gateway.listener("clear");
    // What a process needs for its first requests is not a cost of the connections.
    let warm = connect(address, 10);
    let before = gateway.memory();
    let began = Instant::now();
    let halves = [0; 2].map(|_| std::thread::spawn(move || connect(address, CONNECTIONS / 2)));
    let mut held: Vec<TcpStream> = halves.into_iter().flat_map(|half| half.join().expect("connected")).collect();
    let after = gateway.memory();
    eprintln!(
        "{CONNECTIONS} idle connections in {:?}: {:.1} MiB before, {:.1} MiB after, {} bytes each",
        began.elapsed(),
        mib(before),
        mib(after),
        after.saturating_sub(before) / CONNECTIONS
    );
    assert_eq!(held.len(), CONNECTIONS);
    assert!(after < BUDGET, "{:.1} MiB", mib(after));
    held.iter_mut().step_by(97).for_each(exchange);
    drop((held, warm));
}
