//! The HTTP/3 of one listener on one worker.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::connection;
use super::context::ListenerContext;
use crate::handler::Handler;
use crate::listener::steering::WorkerSteering;
use crate::listener::tcp::ConnectionLimit;
use crate::listener::{ListenerSettings, quic as endpoint};
use crate::protocol::activity::Group;
use crate::protocol::server::Server;
use crate::sanitize::safe;
use crate::telemetry::metrics::ListenerMetrics;

/// How long the last packets of a closed connection may take.
const CLOSING: Duration = Duration::from_secs(3);
/// Handshakes at a time above which a client has to show that its address is its own (RFC 9000 section 8.1.2): forged
/// addresses must not take what real clients need.
const UNPROVEN_HANDSHAKES: usize = 64;
/// Handshakes at a time above which more are refused.
const HANDSHAKES: usize = 2048;

/// Serves a listener's HTTP/3 until it is told to stop, then lets requests finish; returns when all connections are
/// closed.
pub async fn serve<H: Handler>(
    server: Rc<Server<H>>,
    (socket, steering): (std::net::UdpSocket, WorkerSteering),
    mut settings: watch::Receiver<Arc<ListenerSettings>>,
    (local, limit): (SocketAddr, ConnectionLimit),
    metrics: impl Fn(&str) -> ListenerMetrics,
    group: Rc<Group>,
    mut stop: watch::Receiver<bool>,
) {
    let open_handshakes = Rc::new(Cell::new(0));
    let context_of = |settings: &ListenerSettings| {
        let (listener, metrics) = (settings.config.clone(), metrics(&settings.config.name));
        let (limit, handshakes, server) = (limit.clone(), open_handshakes.clone(), server.clone());
        Rc::new(ListenerContext { listener, local, limit, metrics, group: group.clone(), handshakes, server })
    };
    let first = settings.borrow_and_update().clone();
    let Some(config) = first.quic.clone() else { return };
    let endpoint = match endpoint::endpoint(socket, steering, config) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            return tracing::error!(listener = %first.config.name, error = %safe!(error), "HTTP/3 can't be served");
        }
    };
    let mut context = context_of(&first);
    let mut earlier = Vec::new();
    loop {
        let incoming = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Ok(()) = settings.changed() => {
                let changed = settings.borrow_and_update().clone();
                endpoint.set_server_config(changed.quic.clone());
                earlier.push(std::mem::replace(&mut context, context_of(&changed)));
                earlier.retain(|context| Rc::strong_count(context) > 1);
                continue;
            }
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let handshakes = context.handshakes.get();
        if !incoming.remote_address_validated() && handshakes >= UNPROVEN_HANDSHAKES {
            // Costs no memory here; fails only for a client that has shown its address already.
            let _ = incoming.retry();
        } else if handshakes >= HANDSHAKES || !context.limit.has_room() {
            context.metrics.rejected("limit");
            incoming.refuse();
        } else {
            tokio::task::spawn_local(connection::serve(context.clone(), incoming));
        }
    }
    earlier.push(context);
    // RFC 9000 section 5.2.2: newcomers are refused while the others finish.
    endpoint.set_server_config(None);
    while earlier.iter().any(|context| Rc::strong_count(context) > 1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if !server.connections.are_cut() {
        let _ = tokio::time::timeout(CLOSING, endpoint.wait_idle()).await;
    }
}
