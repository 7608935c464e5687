//! Memory that a request takes from the allocator on a connection that is kept alive. In a program of its own, because all
//! of its memory is counted.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use gateway::gateway::Gateway;
use gateway::plugin::this_program;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUEST: &[u8] =
    b"GET /path?query HTTP/1.1\r\nHost: a.test\r\nUser-Agent: test\r\nAccept: */*\r\nX-Own: 1\r\nCookie: a=b\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: test\r\n\
    Content-Type: text/plain\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\nhello";
const REQUESTS: usize = 400;
const ROUNDS: usize = 10;

/// An upstream that takes no memory for a request.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let (mut buffer, mut length) = ([0; 4096], 0);
        while let Ok(count @ 1..) = connection.read(&mut buffer[length..]) {
            length += count;
            if buffer[..length].ends_with(b"\r\n\r\n") {
                connection.write_all(RESPONSE).expect("sent");
                length = 0;
            }
        }
    });
    address
}

/// Sends requests one after the other, and takes no memory for it.
fn ask(connection: &mut TcpStream, times: usize) {
    let mut buffer = [0; 4096];
    for _ in 0..times {
        connection.write_all(REQUEST).expect("sent");
        let mut length = 0;
        while !buffer[..length].ends_with(b"\r\n\r\nhello") {
            let count = connection.read(&mut buffer[length..]).expect("read");
            assert!(count > 0, "the connection has ended");
            length += count;
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn a_request_on_a_connection_that_is_kept_alive_takes_hardly_any_memory_from_the_allocator() {
    let upstream = upstream();
    let directory = std::env::temp_dir().join(format!("gateway-allocations-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("gateway.yaml");
    let config = format!(
        "workers: 1\naccess_log: {{path: \"off\"}}\nlisteners: [{{name: web, address: \"127.0.0.1:0\", protocols: [http1]}}]\n\
        upstreams: {{service: {{endpoints: [\"{upstream}\"]}}}}\nroutes: [{{name: all, upstream: service}}]\n"
    );
    std::fs::write(&file, config).unwrap();
    let gateway = Gateway::start(&file, this_program()).unwrap_or_else(|error| panic!("{error}"));
    let mut connection = TcpStream::connect(gateway.listeners()[0].1).unwrap();
    // The first ones make what the others find.
    ask(&mut connection, 200);
    let first = ALLOCATOR.stats();
    // Where others keep the machine busy, a client's next request may come before what the last one held is given back. The
    // best of several rounds is what a request takes.
    let taken = (0..ROUNDS).map(|_| {
        let before = ALLOCATOR.stats();
        ask(&mut connection, REQUESTS);
        let after = ALLOCATOR.stats();
        after.allocations - before.allocations + after.reallocations - before.reallocations
    });
    let taken = taken.min().unwrap_or_default();
    let last = ALLOCATOR.stats();
    drop(gateway);
    std::fs::remove_dir_all(&directory).unwrap();
    println!("{:.2} a request", taken as f64 / REQUESTS as f64);
    // What is left, each once a request: the exchange, the place that it is shared at, the authority and its copy for the
    // upstream, and the box of the response's body. The rest is what happens once in a while.
    assert!(taken <= REQUESTS * 5 + REQUESTS / 20, "{taken} in {REQUESTS} requests");
    let kept = (last.bytes_allocated - first.bytes_allocated) as i64
        - (last.bytes_deallocated - first.bytes_deallocated) as i64;
    assert!(kept.abs() < 64 << 10, "{kept} bytes more are held");
}
