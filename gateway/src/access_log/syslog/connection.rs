//! A way to a receiver: datagrams, or a stream of messages with their lengths.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::model::{Syslog, SyslogAddress};
use crate::sensitive::no_content;

/// How long a connection may take to be made, and a write to go on.
const PATIENCE: Duration = Duration::from_secs(5);
/// No datagram tells that a name leads elsewhere now: it is looked up anew after this time.
const LOOKED_UP: Duration = Duration::from_secs(60);

/// A socket that leads to a receiver.
pub(super) struct Connection {
    socket: Socket,
    made: Instant,
    max_message: usize,
    /// Of the stream: messages with their frames, and where each of them ends, here and in what was given.
    frames: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

no_content!(Connection);

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
    Tcp(TcpStream),
}

/// What did not go out.
#[derive(Debug)]
pub(super) struct Unsent {
    /// Bytes of whole messages, with their line breaks, that did.
    pub(super) sent: usize,
    /// The next one never will, over whatever connection.
    pub(super) impossible: bool,
    pub(super) error: io::Error,
}

impl Connection {
    /// Connects. May block for as long as names and connections take.
    pub(super) fn new(to: &Syslog) -> io::Result<Self> {
        let socket = match &to.address {
            SyslogAddress::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Socket::Unix(socket)
            }
            SyslogAddress::Udp { host, port } => each(host, *port, |address| {
                let any: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Ok(Socket::Udp(socket))
            })?,
            SyslogAddress::Tcp { host, port } => each(host, *port, |address| {
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Socket::Tcp(stream))
            })?,
        };
        let (frames, ends) = (Vec::new(), Vec::new());
        Ok(Self { socket, made: Instant::now(), max_message: to.max_message, frames, ends })
    }

    /// Whether another one should be made: the receiver has closed this one, or its name may lead elsewhere.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        match &self.socket {
            Socket::Udp(_) => now.saturating_duration_since(self.made) >= LOOKED_UP,
            Socket::Unix(_) => false,
            Socket::Tcp(stream) => is_closed(stream),
        }
    }

    /// Sends messages, each with a line break at its end that is not a part of it.
    pub(super) fn send(&mut self, messages: &[u8]) -> Result<(), Unsent> {
        let max = self.max_message;
        match &self.socket {
            Socket::Udp(socket) => datagrams(messages, max, |message| match socket.send(message) {
                // That an earlier one was refused is told when the next one is sent, which did not go out for that.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => socket.send(message),
                sent => sent,
            }),
            Socket::Unix(socket) => datagrams(messages, max, |message| socket.send(message)),
            Socket::Tcp(_) => self.stream(messages),
        }
    }

    /// RFC 6587 section 3.4.1: the length in decimal, a space, the message.
    fn stream(&mut self, messages: &[u8]) -> Result<(), Unsent> {
        let Self { socket: Socket::Tcp(stream), max_message, frames, ends, .. } = self else { return Ok(()) };
        frames.clear();
        ends.clear();
        let mut given = 0;
        for message in messages.split_inclusive(|byte| *byte == b'\n') {
            given += message.len();
            let message = cut(message, *max_message);
            frames.extend_from_slice(itoa::Buffer::new().format(message.len()).as_bytes());
            frames.push(b' ');
            frames.extend_from_slice(message);
            ends.push((frames.len(), given));
        }
        let mut written = 0;
        while written < frames.len() {
            match stream.write(&frames[written..]) {
                Ok(0) => return Err(unsent(ends, written, ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(unsent(ends, written, error)),
            }
        }
        Ok(())
    }
}

/// A message of which a part went out is sent again as a whole: over the next connection.
fn unsent(ends: &[(usize, usize)], written: usize, error: io::Error) -> Unsent {
    let whole = ends.iter().take_while(|(end, _)| *end <= written).last();
    Unsent { sent: whole.map_or(0, |(_, given)| *given), impossible: false, error }
}

/// Sends each message by itself.
fn datagrams(messages: &[u8], max: usize, send: impl Fn(&[u8]) -> io::Result<usize>) -> Result<(), Unsent> {
    const TOO_LONG: i32 = rustix::io::Errno::MSGSIZE.raw_os_error();
    let mut sent = 0;
    for message in messages.split_inclusive(|byte| *byte == b'\n') {
        loop {
            match send(cut(message, max)) {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Unsent { sent, impossible: error.raw_os_error() == Some(TOO_LONG), error }),
            }
        }
        sent += message.len();
    }
    Ok(())
}

/// At most so many bytes of a message, without its line break and without a part of a character (RFC 5424 section 6.1).
fn cut(line: &[u8], max: usize) -> &[u8] {
    let message = line.strip_suffix(b"\n").unwrap_or(line);
    if message.len() <= max {
        return message;
    }
    let mut end = max;
    // Back over the bytes that go on with a character.
    while end > 0 && message[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &message[..end]
}

/// Tries all addresses of a name.
fn each(host: &str, port: u16, connect: impl Fn(SocketAddr) -> io::Result<Socket>) -> io::Result<Socket> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match connect(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether the receiver has closed the connection. It never says anything else: what it sends is thrown away.
fn is_closed(mut stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let mut nobody_reads = [0; 512];
    let closed = loop {
        match stream.read(&mut nobody_reads) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break error.kind() != ErrorKind::WouldBlock,
        }
    };
    closed || stream.set_nonblocking(false).is_err()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cut_message_is_as_long_as_it_may_be_and_whole_characters(text in "[^\n]{0,50}", max in 0..120_usize) {
            let message = cut(text.as_bytes(), max);
            let kept = std::str::from_utf8(message).unwrap();
            prop_assert!(text.starts_with(kept) && kept.len() <= max);
            prop_assert!(kept.len() == text.len() || kept.len() + 4 > max);
            let line = format!("{text}\n");
            prop_assert_eq!(cut(line.as_bytes(), max), message);
        }
    }

    #[test]
    fn a_message_that_was_cut_by_the_end_of_a_connection_is_sent_again_as_a_whole() {
        let ends = [(10, 8), (20, 16), (30, 24)];
        for (written, sent) in [(0, 0), (9, 0), (10, 8), (29, 16), (30, 24)] {
            assert_eq!(unsent(&ends, written, ErrorKind::BrokenPipe.into()).sent, sent);
        }
    }
}
