//! HTTP/1.1 byte by byte, on both sides: where a message is cut, who ends first, and what goes before a response.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use gateway_tests::duplex::gateway;
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::upstream::{Upstream, text};
use gateway_tests::{PATIENCE, eventually};
use http_body_util::BodyExt;
use tokio::sync::mpsc::unbounded_channel;

/// One end of a connection whose bytes a test writes and reads.
struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        Self { stream, read: Vec::new() }
    }

    fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("connected"))
    }

    fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sent");
    }

    /// Everything up to the end of this mark, which comes.
    fn until(&mut self, mark: &str) -> String {
        self.find(mark).unwrap_or_else(|| panic!("no {mark:?} in {:?}", String::from_utf8_lossy(&self.read)))
    }

    fn find(&mut self, mark: &str) -> Option<String> {
        loop {
            if let Some(place) = self.read.windows(mark.len()).position(|part| part == mark.as_bytes()) {
                let found: Vec<u8> = self.read.drain(..place + mark.len()).collect();
                return Some(String::from_utf8_lossy(&found).into_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn more(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(count) => {
                self.read.extend_from_slice(&piece[..count]);
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next head, in lower case.
    fn head(&mut self) -> String {
        self.until("\r\n\r\n").to_ascii_lowercase()
    }

    /// The next response, with a body that has a length: the head in lower case, and the body.
    fn answer(&mut self) -> (String, String) {
        let head = self.head();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let length = length.parse().expect("a number");
        while self.read.len() < length {
            assert!(self.more(), "cut within the body");
        }
        let body: Vec<u8> = self.read.drain(..length).collect();
        (head, String::from_utf8_lossy(&body).into_owned())
    }

    /// All that comes up to the end of the connection.
    fn rest(&mut self) -> String {
        while self.more() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// Leaves with a reset: that its side is shut would only say that it has no more to send.
    fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("an option");
    }
}

/// An upstream of which the test gets each connection.
fn scripted() -> (SocketAddr, Receiver<Raw>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (give, take): (Sender<Raw>, _) = channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if give.send(Raw::new(stream)).is_err() {
                break;
            }
        }
    });
    (address, take)
}

fn next(connections: &Receiver<Raw>) -> Raw {
    connections.recv_timeout(PATIENCE).expect("a connection to the upstream")
}

/// An upstream that tells what it has got.
fn telling() -> Upstream {
    Upstream::start(|seen| {
        let trailer = seen.trailers.as_ref().and_then(|trailers| trailers.get("x-t")).is_some();
        text(200, format!("{} {} {} {trailer}", seen.method, seen.target, String::from_utf8_lossy(&seen.body)))
    })
}

const PIPELINED: [(&str, &str); 3] = [
    ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a  false"),
    ("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\r\n", "POST /b \r\n\r\n false"),
    (
        "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n2;a=\"b\"\r\nab\r\n1\r\nc\r\n0\r\nX-T: 1\r\n\r\n",
        "PUT /c abc true",
    ),
];

#[test]
fn requests_in_one_write_are_answered_in_their_order_wherever_they_are_cut() {
    let upstream = telling();
    let gateway = TestGateway::in_front_of(upstream.address(), "");
    let all = PIPELINED.map(|(request, _)| request).concat();
    for cut in 0..all.len() {
        let mut client = Raw::connect(gateway.address());
        client.write(&all[..cut]);
        // What is whole already is answered before the rest comes.
        let (mut end, mut before) = (0, 0);
        while end + PIPELINED[before].0.len() <= cut {
            end += PIPELINED[before].0.len();
            assert_eq!(client.answer().1, PIPELINED[before].1, "cut at {cut}");
            before += 1;
        }
        client.write(&all[cut..]);
        for (_, body) in &PIPELINED[before..] {
            assert_eq!(client.answer().1, *body, "cut at {cut}");
        }
    }
}

#[test]
fn single_bytes_become_the_same_requests() {
    let upstream = telling();
    let gateway = TestGateway::in_front_of(upstream.address(), "");
    let mut client = Raw::connect(gateway.address());
    for byte in PIPELINED.map(|(request, _)| request).concat().bytes() {
        client.write([byte]);
    }
    for (_, body) in PIPELINED {
        assert_eq!(client.answer().1, body);
    }
}

#[test]
fn who_shuts_its_side_after_its_requests_gets_all_answers() {
    let (upstream, connections) = scripted();
    let gateway = TestGateway::in_front_of(upstream, "");
    let mut client = Raw::connect(gateway.address());
    client.write([PIPELINED[0].0, PIPELINED[1].0, PIPELINED[0].0].concat());
    client.stream.shutdown(Shutdown::Write).expect("shut");
    let mut server = next(&connections);
    for number in 0..3 {
        server.head();
        if number == 1 {
            server.until("\r\n\r\n");
        }
        // Piece by piece, so that the gateway waits with a client that has ended.
        server.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
        client.head();
        server.write(number.to_string());
        client.until(&number.to_string());
        server.write("x");
        client.until("x");
    }
    assert_eq!(client.rest(), "");
}

#[test]
fn an_answer_to_head_has_no_body_and_the_next_one_follows() {
    let (upstream, connections) = scripted();
    let gateway = TestGateway::in_front_of(upstream, "");
    let mut client = Raw::connect(gateway.address());
    client.write("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = next(&connections);
    assert!(server.head().starts_with("head /a"));
    server.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    assert!(client.head().contains("content-length: 5"));
    assert!(server.head().starts_with("get /b"), "over the same connection");
    server
        .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n");
    assert!(client.head().contains("transfer-encoding: chunked"));
    assert_eq!(client.until("0\r\n"), "3\r\nabc\r\n0\r\n");
    assert_eq!(client.head(), "x-t: 1\r\n\r\n");
}

#[test]
fn interim_responses_go_before_the_response_to_who_knows_them() {
    let (upstream, connections) = scripted();
    let gateway = TestGateway::in_front_of(upstream, "response_headers: {set: {x-set: here}, remove: [server]}");
    for version in ["1.1", "1.0"] {
        let mut client = Raw::connect(gateway.address());
        client.write(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
        let mut server = next(&connections);
        server.head();
        server.write(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x-hop\r\nX-Hop: 1\r\nServer: x\r\n",
        );
        server.write("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
        if version == "1.1" {
            // They are here before the response has begun.
            let hints = client.head();
            assert!(hints.starts_with("http/1.1 103") && hints.contains("link: </a>"), "{hints}");
            // What the route takes off does not leak through them.
            assert!(hints.contains("x-set: here"), "{hints}");
            for name in ["connection", "x-hop", "content-length", "transfer-encoding", "server"] {
                assert!(!hints.contains(name), "{hints}");
            }
            assert!(client.head().starts_with("http/1.1 102"));
        }
        server.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        let (head, body) = client.answer();
        assert!(head.starts_with(&format!("http/{version} 200")), "{head}");
        assert_eq!(body, "ok");
    }
}

#[test]
fn interim_responses_without_an_end_are_no_response() {
    let (upstream, connections) = scripted();
    let gateway = TestGateway::in_front_of(upstream, "");
    let mut client = Raw::connect(gateway.address());
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut server = next(&connections);
    server.head();
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    // The gateway ends the connection.
    let end = loop {
        if let Err(error) = server.stream.write_all(hint.as_bytes()) {
            break error;
        }
    };
    assert_ne!(end.kind(), ErrorKind::WouldBlock, "it reads no more, and leaves the connection open");
    let all = client.rest();
    assert!(all.contains("HTTP/1.1 502"), "{}", &all[all.len().saturating_sub(1000)..]);
    assert!(all.len() < 80 << 10, "{} bytes", all.len());
}

#[test]
fn a_100_comes_when_the_body_is_wanted_and_not_where_it_is_here() {
    let (upstream, connections) = scripted();
    let gateway = TestGateway::in_front_of(upstream, "");
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let mut client = Raw::connect(gateway.address());
    client.write(head);
    let mut server = next(&connections);
    assert_eq!(client.head(), "http/1.1 100 continue\r\n\r\n");
    assert!(!server.head().contains("expect"), "the gateway answers it");
    client.write("abc");
    server.until("abc");
    server.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    client.answer();
    client.write(format!("{head}abc"));
    server.until("abc");
    server.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert!(client.answer().0.starts_with("http/1.1 200"));
}

#[test]
fn an_early_answer_of_an_upstream_that_resets_arrives() {
    let (upstream, connections) = scripted();
    let gateway = TestGateway::in_front_of(upstream, "");
    let mut client = Raw::connect(gateway.address());
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let mut server = next(&connections);
    server.until("abc");
    server.write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 6\r\n\r\nenough");
    server.reset();
    // It can't be sent any more.
    client.write("3\r\ndef\r\n");
    let (head, body) = client.answer();
    assert!(head.starts_with("http/1.1 413") && head.contains("connection: close"), "{head}");
    assert_eq!(body, "enough");
    assert_eq!(client.rest(), "");
}

/// An upstream of HTTP/2 that reads bodies only where it is told to, and tells of pieces, and of requests that end early.
fn http2() -> (Service, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (tell, told) = unbounded_channel();
    let upstream = Service::start(move |request| {
        let tell = tell.clone();
        async move {
            let _ = tell.send("begun".to_owned());
            let reads = request.headers().contains_key("x-read");
            let mut body = request.into_body();
            while reads && let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { break };
                let data = frame.into_data().map(|data| String::from_utf8_lossy(&data).into_owned());
                let _ = tell.send(data.unwrap_or_else(|_| "trailers".to_owned()));
            }
            if reads && hyper::body::Body::is_end_stream(&body) {
                return text(200, "read");
            }
            std::future::pending().await
        }
    });
    (upstream, told)
}

fn hear(told: &mut tokio::sync::mpsc::UnboundedReceiver<String>) -> String {
    eventually("the upstream tells", || told.try_recv())
}

#[test]
fn each_piece_of_a_slow_body_reaches_an_upstream_of_http2() {
    let (upstream, mut told) = http2();
    let gateway = gateway(upstream.address(), "http2");
    let mut client = Raw::connect(gateway.listener("clear"));
    for _ in 0..3 {
        client.write("POST / HTTP/1.1\r\nHost: a\r\nX-Read: 1\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n");
        assert_eq!(hear(&mut told), "begun");
        for piece in ["one", "two", "six"] {
            // Cut within the chunk's line, within the chunk, and before the line's end behind it.
            client.write("3");
            client.write(format!("\r\n{}", &piece[..1]));
            let mut heard = hear(&mut told);
            client.write(&piece[1..]);
            while heard != piece {
                heard += &hear(&mut told);
            }
            client.write("\r");
            client.write("\n");
        }
        client.write("0\r\nx-t: 1\r\n\r\n");
        assert_eq!(hear(&mut told), "trailers");
        assert_eq!(client.answer().1, "read");
    }
}

/// Waits until nothing is being asked of the upstream any more.
fn given_up(gateway: &TestGateway, case: &str) {
    eventually(case, || {
        let running = gateway.metric("gateway_upstream_requests_in_flight", &[]);
        if running == 0.0 { Ok(()) } else { Err(running) }
    });
}

#[test]
fn a_client_that_leaves_while_an_upstream_of_http2_works_is_noticed() {
    let (upstream, mut told) = http2();
    let gateway = gateway(upstream.address(), "http2");
    for (case, request) in [
        ("without a body", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("after its body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
        ("within its body, which is read", "POST / HTTP/1.1\r\nHost: a\r\nX-Read: 1\r\nContent-Length: 9\r\n\r\nabc"),
        ("within its body, which is not read", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"),
    ] {
        let mut client = Raw::connect(gateway.listener("clear"));
        client.write(request);
        while hear(&mut told) != if case.ends_with("is read") { "abc" } else { "begun" } {}
        client.reset();
        given_up(&gateway, case);
    }
}

#[test]
fn a_client_that_leaves_while_an_upstream_of_http2_takes_nothing_is_noticed() {
    let (upstream, mut told) = http2();
    let gateway = gateway(upstream.address(), "http2");
    let mut client = Raw::connect(gateway.listener("clear"));
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    assert_eq!(hear(&mut told), "begun");
    client.stream.set_nonblocking(true).expect("an option");
    let (piece, mut refusals) = (vec![b'x'; 64 << 10], 0);
    // Windows and buffers are full when nothing has been taken for a while.
    eventually("the gateway takes no more", || match client.stream.write(&piece) {
        Ok(_) => {
            refusals = 0;
            None
        }
        Err(_) => {
            refusals += 1;
            (refusals > 50).then_some(())
        }
    });
    let left = Instant::now();
    client.reset();
    given_up(&gateway, "it left");
    assert!(left.elapsed() < PATIENCE / 2, "a deadline ended it, after {:?}", left.elapsed());
    let record = gateway.logged("its request", |_| true);
    assert_eq!(record["failure"], "cancelled", "{record}");
}
