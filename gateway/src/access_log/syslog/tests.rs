//! Receivers that are scripted: what comes, and what becomes of messages while nobody receives.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::*;
use crate::model::SyslogAddress;

fn sender(address: SyslogAddress, max_message: usize) -> Sender {
    let to = Syslog { address, facility: 16, severity: 6, app_name: "gateway".to_owned(), max_message };
    Sender::new(&to, Arc::default())
}

fn tcp(listener: &TcpListener) -> SyslogAddress {
    SyslogAddress::Tcp { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() }
}

/// All that comes until the sender goes, taken out of its frames.
fn framed(mut stream: TcpStream) -> Vec<String> {
    let mut bytes = Vec::new();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.read_to_end(&mut bytes).unwrap();
    let (mut rest, mut messages) = (&bytes[..], Vec::new());
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
        let (message, after) = rest[space + 1..].split_at(length);
        messages.push(String::from_utf8(message.to_vec()).unwrap());
        rest = after;
    }
    assert!(rest.is_empty());
    messages
}

#[test]
fn a_stream_counts_octets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sender = sender(tcp(&listener), 480);
    let long = "å".repeat(300);
    sender.write(format!("first\nand second\n{long}\n").as_bytes()).unwrap();
    let stream = listener.accept().unwrap().0;
    drop(sender);
    assert_eq!(framed(stream), ["first".to_owned(), "and second".to_owned(), "å".repeat(240)]);
}

#[test]
fn a_receiver_that_comes_back_gets_what_waited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sender = sender(tcp(&listener), 8192);
    sender.write(b"one\n").unwrap();
    // The connection ends, and nobody listens: the next message waits.
    let first = listener.accept().unwrap().0;
    let address = listener.local_addr().unwrap();
    drop(listener);
    first.shutdown(std::net::Shutdown::Write).unwrap();
    let receiver = thread::spawn(move || {
        let listener = loop {
            match TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        };
        framed(listener.accept().unwrap().0)
    });
    drop(first);
    sender.write(b"two\nthree\n").unwrap();
    drop(sender);
    assert_eq!(receiver.join().unwrap(), ["two", "three"]);
}

#[test]
fn what_nobody_waits_for_any_more_is_lost_and_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp(&listener);
    drop(listener);
    let mut sender = sender(address, 8192);
    sender.closing.store(true, Relaxed);
    let lost = sender.write(b"one\ntwo\n").unwrap_err();
    assert_eq!((lost.lines, lost.error.kind()), (2, io::ErrorKind::ConnectionRefused));
}

#[test]
fn a_datagram_has_a_message_and_a_too_long_one_is_cut_between_characters() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let mut sender = sender(SyslogAddress::Udp { host: "127.0.0.1".to_owned(), port }, 481);
    sender.write(format!("one\n{}\n", "å".repeat(300)).as_bytes()).unwrap();
    let mut buffer = [0; 2048];
    let mut message = || {
        let length = receiver.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!((message(), message()), ("one".to_owned(), "å".repeat(240)));
}

#[test]
fn a_socket_that_is_made_anew_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut sender = sender(SyslogAddress::Unix(path.clone()), 8192);
    let message = |receiver: &UnixDatagram| {
        let mut buffer = [0; 64];
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let length = receiver.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let first = UnixDatagram::bind(&path).unwrap();
    sender.write(b"one\n").unwrap();
    assert_eq!(message(&first), "one");
    drop(first);
    std::fs::remove_file(&path).unwrap();
    let second = UnixDatagram::bind(&path).unwrap();
    sender.write(b"two\n").unwrap();
    assert_eq!(message(&second), "two");
}

#[test]
fn a_message_that_no_datagram_can_hold_costs_only_itself() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let mut sender = sender(SyslogAddress::Udp { host: "127.0.0.1".to_owned(), port }, 100_000);
    let lost = sender.write(format!("one\n{}\ntwo\n", "a".repeat(90_000)).as_bytes()).unwrap_err();
    assert_eq!(lost.lines, 1);
    let mut buffer = [0; 64];
    for expected in ["one", "two"] {
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], expected.as_bytes());
    }
}
