//! Hands QUIC datagrams to the worker that has their connection.
//!
//! The kernel spreads datagrams over the workers' sockets by their four addresses and ports. A client whose address
//! changes (a NAT has forgotten it, or it went from one network to another) keeps its connection id, so each id names its
//! worker: who gets a datagram of another's connection hands it over, and there QUIC validates the new path (RFC 9000
//! section 9). No worker answers for another one: a stateless reset tells a client that its connection is gone, and must not
//! be had for one that is not (section 21.11).

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::sensitive::no_content;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, EndpointConfig, UdpPoller};
use tokio::sync::mpsc;

/// Bytes of a connection id: a random part, the worker's number made unreadable, and a check.
const NONCE: usize = 4;
const WORKER: usize = 2;
const CHECK: usize = 2;
const LENGTH: usize = NONCE + WORKER + CHECK;
/// Datagrams that wait for their worker. More are dropped, as a full socket drops them.
const WAITING: usize = 256;

/// A datagram on its way to its worker.
struct Datagram {
    bytes: Vec<u8>,
    meta: RecvMeta,
}

no_content!(Datagram);

/// One worker's share of a listener's QUIC.
pub struct WorkerSteering {
    ids: Ids,
    /// Of every worker, in their order.
    peers: Arc<[mpsc::Sender<Datagram>]>,
    inbox: mpsc::Receiver<Datagram>,
    /// With the key of stateless resets, which every worker has.
    endpoint: EndpointConfig,
}

impl fmt::Debug for WorkerSteering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSteering").field("worker", &self.ids.worker).finish_non_exhaustive()
    }
}

/// The shares of a listener's workers, in their order.
pub fn for_workers(workers: usize) -> Vec<WorkerSteering> {
    let keys = RandomState::new();
    let endpoint = EndpointConfig::default();
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(WAITING)).unzip();
    let peers: Arc<[_]> = senders.into();
    let steering = |(worker, inbox): (usize, _)| {
        // No machine has so many workers that numbers would have to be shared.
        let ids = Ids { keys: keys.clone(), worker: u16::try_from(worker).unwrap_or(u16::MAX) };
        let mut endpoint = endpoint.clone();
        let made = ids.clone();
        endpoint.cid_generator(move || Box::new(made.clone()));
        WorkerSteering { ids, peers: peers.clone(), inbox, endpoint }
    };
    inboxes.into_iter().enumerate().map(steering).collect()
}

impl WorkerSteering {
    /// The endpoint's settings, and its socket with what others hand over.
    pub(super) fn take(self, socket: Arc<dyn AsyncUdpSocket>) -> (EndpointConfig, Arc<dyn AsyncUdpSocket>) {
        let Self { ids, peers, inbox, endpoint } = self;
        (endpoint, Arc::new(Steered { socket, ids, peers, inbox: Mutex::new(inbox) }))
    }
}

/// Makes connection ids that name their worker, to those who have the keys.
#[derive(Clone, Debug)]
struct Ids {
    keys: RandomState,
    worker: u16,
}

impl Ids {
    fn mask(&self, nonce: &[u8]) -> u16 {
        self.keys.hash_one(nonce) as u16
    }

    fn check(&self, nonce: &[u8], worker: u16) -> [u8; CHECK] {
        (self.keys.hash_one((nonce, worker)) as u16).to_be_bytes()
    }

    /// The worker that made an id; `None` for an id that nobody here has made.
    fn owner(&self, id: &[u8]) -> Option<u16> {
        let (nonce, rest) = id.get(..LENGTH)?.split_at(NONCE);
        let worker = u16::from_be_bytes([rest[0], rest[1]]) ^ self.mask(nonce);
        (self.check(nonce, worker) == rest[WORKER..]).then_some(worker)
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut nonce = [0; NONCE];
        if aws_lc_rs::rand::fill(&mut nonce).is_err() {
            nonce = fastrand::u32(..).to_be_bytes();
        }
        let worker = (self.worker ^ self.mask(&nonce)).to_be_bytes();
        ConnectionId::new(&[&nonce[..], &worker, &self.check(&nonce, self.worker)].concat())
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// A worker's socket, with what others have for it and without what it has for others.
#[derive(Debug)]
struct Steered {
    socket: Arc<dyn AsyncUdpSocket>,
    ids: Ids,
    peers: Arc<[mpsc::Sender<Datagram>]>,
    /// Only this worker's endpoint takes from it.
    inbox: Mutex<mpsc::Receiver<Datagram>>,
}

impl Steered {
    /// Takes out of what came from one client (several datagrams, where the kernel has put them together) whatever is not for
    /// this worker's connections.
    fn sort(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let mut start = 0;
        while start < meta.len {
            let end = meta.len.min(start + meta.stride.max(1));
            let datagram = &buffer[start..end];
            // RFC 9000 section 17: of the packets with a long header, the first ones bear ids that clients make, and all of
            // them come before an address may change.
            let long = datagram[0] & 0x80 != 0;
            let owner = if long { Some(self.ids.worker) } else { self.ids.owner(&datagram[1..]) };
            if owner == Some(self.ids.worker) {
                start = end;
                continue;
            }
            if let Some(peer) = owner.and_then(|owner| self.peers.get(usize::from(owner))) {
                let length = datagram.len();
                let meta = RecvMeta { len: length, stride: length, ..*meta };
                // Dropped where the worker has too many or is gone; QUIC sends again.
                let _ = peer.try_send(Datagram { bytes: datagram.to_vec(), meta });
            }
            buffer.copy_within(end..meta.len, start);
            meta.len -= end - start;
        }
    }
}

impl AsyncUdpSocket for Steered {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let handed = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).poll_recv(cx);
        if let (Poll::Ready(Some(datagram)), Some(buffer), Some(meta)) = (handed, buffers.first_mut(), meta.first_mut())
        {
            let length = datagram.bytes.len().min(buffer.len());
            buffer[..length].copy_from_slice(&datagram.bytes[..length]);
            *meta = RecvMeta { len: length, stride: length, ..datagram.meta };
            return Poll::Ready(Ok(1));
        }
        let received = self.socket.poll_recv(cx, buffers, meta);
        if let Poll::Ready(Ok(count)) = received {
            for (buffer, meta) in buffers.iter_mut().zip(meta).take(count) {
                self.sort(buffer, meta);
            }
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nowhere;

    impl AsyncUdpSocket for Nowhere {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            unreachable!("nothing is sent")
        }
        fn try_send(&self, _: &Transmit<'_>) -> io::Result<()> {
            Ok(())
        }
        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
        }
    }

    fn steered(workers: usize) -> Vec<Steered> {
        let sit = |WorkerSteering { ids, peers, inbox, .. }| Steered {
            socket: Arc::new(Nowhere),
            ids,
            peers,
            inbox: Mutex::new(inbox),
        };
        for_workers(workers).into_iter().map(sit).collect()
    }

    /// A packet with a short header to an id, padded to `length` with `mark`.
    fn packet(id: &[u8], length: usize, mark: u8) -> Vec<u8> {
        let mut packet = [&[0x40], id].concat();
        packet.resize(length, mark);
        packet
    }

    fn meta(len: usize, stride: usize) -> RecvMeta {
        RecvMeta { addr: SocketAddr::from(([127, 0, 0, 1], 9)), len, stride, ecn: None, dst_ip: None }
    }

    #[test]
    fn an_id_names_its_worker_to_every_worker_and_to_nobody_else() {
        let mut workers = steered(3);
        for maker in 0..3 {
            let id = workers[maker].ids.generate_cid();
            for worker in &workers {
                assert_eq!(worker.ids.owner(&id), u16::try_from(maker).ok());
            }
            assert_eq!(steered(3)[0].ids.owner(&id), None, "of another process");
            let mut forged = id.to_vec();
            forged[NONCE] ^= 1;
            assert_eq!(workers[0].ids.owner(&forged), None);
            assert_eq!(workers[0].ids.owner(&id[..LENGTH - 1]), None);
        }
    }

    #[test]
    fn what_is_of_another_worker_is_handed_over_and_the_rest_stays_in_order() {
        let mut workers = steered(2);
        let (own, other) = (workers[0].ids.generate_cid(), workers[1].ids.generate_cid());
        let long = [&[0xc0][..], &[7; 49]].concat();
        let foreign = packet(&[9; LENGTH], 50, 5);
        let pieces =
            [packet(&other, 50, 1), packet(&own, 50, 2), foreign, packet(&other, 50, 3), long, packet(&own, 20, 4)];
        let mut buffer = pieces.concat();
        let mut received = meta(buffer.len(), 50);
        workers[0].sort(&mut buffer, &mut received);
        let left: Vec<u8> = buffer[..received.len].chunks(50).filter_map(|piece| piece.last().copied()).collect();
        assert_eq!(left, [2, 7, 4]);

        let mut cx = Context::from_waker(std::task::Waker::noop());
        for mark in [1, 3] {
            let (mut bytes, mut meta) = ([0; 100], [meta(0, 0)]);
            let polled = workers[1].poll_recv(&mut cx, &mut [IoSliceMut::new(&mut bytes)], &mut meta);
            assert!(matches!(polled, Poll::Ready(Ok(1))), "{polled:?}");
            assert_eq!((meta[0].len, bytes[49], meta[0].addr.port()), (50, mark, 9));
        }
        let (mut bytes, mut meta) = ([0; 100], [meta(0, 0)]);
        assert!(workers[1].poll_recv(&mut cx, &mut [IoSliceMut::new(&mut bytes)], &mut meta).is_pending());
    }
}
