//! Answers that come before the request's body was read: what the head says of the connection is what happens to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use gateway_tests::PATIENCE;
use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::upstream::{Upstream, text};

/// What answers early, and with what.
const KINDS: [(&str, u16); 6] =
    [("/fixed", 200), ("/none", 404), ("/small", 413), ("/limited", 429), ("/early", 403), ("/moved", 308)];

fn gateway() -> ((Service, Upstream), TestGateway) {
    let upstream = Service::start(|_| async { text(403, "no") });
    // What is too large is known before this one answers, which wants to have the whole request.
    let patient = Upstream::start(|_| text(200, "all of it"));
    let yaml = format!(
        "listeners:
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}
upstreams: {{service: {{endpoints: [\"{}\"]}}, patient: {{endpoints: [\"{}\"]}}}}
plugins: {{directory: plugins}}
routes:
  - {{name: fixed, match: {{path: {{exact: /fixed}}}}, respond: {{status: 200, body: ok}}}}
  - {{name: small, match: {{path: {{exact: /small}}}}, limits: {{body: 5B}}, upstream: patient}}
  - name: limited
    match: {{path: {{exact: /limited}}}}
    plugins: [{{name: rate-limit, config: {{limits: [{{requests: 1, per: 1d, by: client.address}}]}}}}]
    respond: {{status: 200, body: ok}}
  - {{name: early, match: {{path: {{exact: /early}}}}, upstream: service}}
  - {{name: moved, match: {{path: {{exact: /moved}}}}, redirect: {{path: /new}}}}
",
        upstream.address(),
        patient.address()
    );
    let gateway = TestGateway::start(&yaml, &["rate-limit"]);
    // The one request that the limit allows.
    assert_eq!(Client::http1(gateway.listener("clear")).get("/limited").status, 200);
    ((upstream, patient), gateway)
}

/// A connection of HTTP/1.1 whose bytes a test writes.
struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

struct Answer {
    status: u16,
    closes: bool,
}

impl Raw {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        Self { stream, read: Vec::new() }
    }

    fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sent");
    }

    /// The next response, whose body has a length.
    fn answer(&mut self) -> Answer {
        self.try_answer().expect("a response")
    }

    fn try_answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
                let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
                let length: usize = field("content-length").map_or(0, |length| length.parse().expect("a number"));
                if self.read.len() >= end + 4 + length {
                    let status = head[9..12].parse().expect("a status");
                    let closes = field("connection") == Some("close");
                    self.read.drain(..end + 4 + length);
                    return Some(Answer { status, closes });
                }
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.read.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The connection ends here.
    fn end(&mut self) {
        assert!(self.try_answer().is_none() && self.read.is_empty(), "{}", String::from_utf8_lossy(&self.read));
    }
}

fn head(path: &str, framing: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")
}

#[test]
fn small_bodies_in_segments_of_their_own_cost_no_connection() {
    let (_upstream, gateway) = gateway();
    let mut connection = Raw::connect(gateway.listener("clear"));
    for number in 0..270 {
        let (path, status) = KINDS[number % KINDS.len()];
        connection.write(head(path, "Content-Length: 10"));
        // Before the answer, or not until it is here.
        let before = (number / KINDS.len()).is_multiple_of(2);
        if before {
            connection.write("0123456789");
        }
        let answer = connection.answer();
        assert_eq!((answer.status, answer.closes), (status, false), "{number}: {path}");
        if !before {
            connection.write("0123456789");
        }
    }
}

#[test]
fn small_bodies_of_unknown_length_cost_no_connection_where_they_come_at_once() {
    let (_upstream, gateway) = gateway();
    let mut connection = Raw::connect(gateway.listener("clear"));
    for (number, (path, status)) in KINDS.into_iter().cycle().take(30).enumerate() {
        connection.write(head(path, "Transfer-Encoding: chunked"));
        connection.write("a\r\n0123456789\r\n0\r\n\r\n");
        let answer = connection.answer();
        assert_eq!(answer.status, status, "{number}: {path}");
        // What is on its way to an upstream that does not read is not waited for.
        if path == "/early" && answer.closes {
            connection.end();
            connection = Raw::connect(gateway.listener("clear"));
        } else {
            assert!(!answer.closes, "{number}: {path}");
        }
    }
}

#[test]
fn a_large_body_never_costs_the_next_request() {
    let (_upstream, gateway) = gateway();
    let address = gateway.listener("clear");
    let body = vec![b'x'; 200_000];
    for (path, status) in KINDS {
        let mut connection = Raw::connect(address);
        for number in 0..10 {
            connection.write(head(path, "Content-Length: 200000"));
            connection.write(&body);
            let answer = connection.answer();
            assert_eq!(answer.status, status, "{number}: {path}");
            if answer.closes {
                connection.end();
                connection = Raw::connect(address);
            }
        }
    }
}

#[test]
fn a_body_that_does_not_come_has_the_close_announced_and_is_not_waited_for() {
    let (_upstream, gateway) = gateway();
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 200000", "Content-Length: 5000000"] {
        for (path, status) in KINDS {
            if path == "/early" || (path == "/small" && framing.starts_with('T')) {
                continue; // The upstream is asked, which waits for more of the body or not.
            }
            let mut connection = Raw::connect(gateway.listener("clear"));
            connection.write(head(path, framing));
            let answer = connection.answer();
            assert_eq!((answer.status, answer.closes), (status, true), "{path} {framing}");
            connection.end();
        }
    }
}

#[test]
fn who_waits_for_a_100_and_gets_another_answer_is_told_that_the_connection_ends() {
    let (_upstream, gateway) = gateway();
    for (path, status) in KINDS.into_iter().filter(|(path, _)| *path != "/early") {
        for body in ["", "0123456789"] {
            let mut connection = Raw::connect(gateway.listener("clear"));
            connection.write(head(path, "Expect: 100-continue\r\nContent-Length: 10"));
            let answer = connection.answer();
            assert_eq!((answer.status, answer.closes), (status, true), "{path}");
            connection.write(body);
            connection.end();
        }
    }
}

#[test]
fn what_follows_a_broken_body_is_no_request() {
    let (_upstream, gateway) = gateway();
    let mut connection = Raw::connect(gateway.listener("clear"));
    connection.write(head("/fixed", "Transfer-Encoding: chunked"));
    connection.write("zz\r\nGET /fixed HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(connection.answer().closes);
    connection.end();
}

#[test]
fn requests_behind_a_refused_body_are_answered_in_their_order() {
    let (_upstream, gateway) = gateway();
    let mut connection = Raw::connect(gateway.listener("clear"));
    let one = |path: &str| format!("{}0123456789", head(path, "Content-Length: 10"));
    connection.write(KINDS.map(|(path, _)| one(path)).concat());
    for (path, status) in KINDS {
        let answer = connection.answer();
        assert_eq!((answer.status, answer.closes), (status, false), "{path}");
    }
}

#[test]
fn early_answers_leave_the_connection_to_the_next_request_on_every_protocol() {
    let (_upstream, gateway) = gateway();
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        for size in [10, 200_000] {
            for (path, status) in KINDS {
                let response =
                    client.try_send(http::Request::post(path).header("content-length", size), vec![b'x'; size]);
                let response = match response {
                    Ok(response) => response,
                    Err(error) => panic!("{protocol} {path} {size}: {error}"),
                };
                assert_eq!(response.status, status, "{protocol} {path} {size}");
                if response.header("connection") == "close" {
                    client = Client::tls(protocol, gateway.listener("tls"), "localhost");
                }
            }
        }
    }
}
