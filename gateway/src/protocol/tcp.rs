//! A connection over TCP until it is known what it speaks: TLS or clear text, HTTP/1 or HTTP/2.

use std::rc::Rc;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Group};
use super::cleartext::{self, Opening};
use super::server::Server;
use super::tracked::Tracked;
use super::{http1, http2, linger};
use crate::exchange::ConnectionInfo;
use crate::handler::Handler;
use crate::listener::ListenerSettings;
use crate::model::Listener;
use crate::telemetry::metrics::ListenerMetrics;

/// RFC 9113 section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves one accepted TCP connection until it ends.
pub async fn serve<H: Handler>(
    server: Rc<Server<H>>,
    settings: &ListenerSettings,
    group: &Rc<Group>,
    stream: TcpStream,
    mut info: ConnectionInfo,
    metrics: &ListenerMetrics,
) {
    let listener = settings.config.clone();
    let activity = server.connections.add(&listener.limits, group);
    let Some(tls) = settings.tls.clone() else {
        return Box::pin(serve_cleartext(server, &listener, stream, info, activity, metrics)).await;
    };
    let handshake = handshake(tls, stream);
    let handshaken = tokio::select! {
        biased;
        handshaken = tokio::time::timeout(listener.limits.header_timeout, handshake) => handshaken,
        () = activity.closed() => return metrics.rejected("timeout"),
    };
    let stream = match handshaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(Unencrypted::Refused(stream))) => {
            metrics.rejected("cleartext");
            tracing::debug!(listener = %listener.name, "plain HTTP on a port that speaks TLS");
            return linger::close(stream, &activity).await;
        }
        Ok(Err(Unencrypted::Failed(error))) => {
            metrics.rejected("tls");
            return tracing::debug!(listener = %listener.name, %error, "TLS handshake failed");
        }
        Err(_) => {
            metrics.rejected("timeout");
            return tracing::debug!(listener = %listener.name, "TLS handshake took too long");
        }
    };
    let session = stream.get_ref().1;
    info.sni = session.server_name().map(|name| Arc::from(name.to_ascii_lowercase()));
    let http2 = session.alpn_protocol() == Some(b"h2");
    let io = Tracked::new(stream, activity.clone());
    // Boxes of their own size: a connection keeps room for its own protocol only.
    if http2 {
        Box::pin(http2::serve(server, &listener, io, info, activity)).await;
    } else if listener.http1 {
        Box::pin(http1::serve(server, &listener, io, info, activity, metrics)).await;
    }
}

/// Why a connection that was to be encrypted is not.
enum Unencrypted {
    Failed(std::io::Error),
    /// It began with HTTP in clear text, and that has been answered.
    Refused(TcpStream),
}

async fn handshake(tls: Arc<rustls::ServerConfig>, mut stream: TcpStream) -> Result<TlsStream<TcpStream>, Unencrypted> {
    match cleartext::opening(&mut stream).await {
        Opening::Tls => tokio_rustls::TlsAcceptor::from(tls).accept(stream).await.map_err(Unencrypted::Failed),
        Opening::Http { head } => {
            cleartext::refuse(&mut stream, head).await;
            Err(Unencrypted::Refused(stream))
        }
        Opening::Unknown => Err(Unencrypted::Failed(std::io::Error::other("neither TLS nor HTTP"))),
    }
}

/// Tells HTTP/2 with prior knowledge (RFC 9113 section 3.3) from HTTP/1 by its first bytes.
async fn serve_cleartext<H: Handler>(
    server: Rc<Server<H>>,
    listener: &Listener,
    mut stream: TcpStream,
    info: ConnectionInfo,
    activity: Rc<Activity>,
    metrics: &ListenerMetrics,
) {
    if !listener.http2 {
        let io = Tracked::new(stream, activity.clone());
        return Box::pin(http1::serve(server, listener, io, info, activity, metrics)).await;
    }
    let mut buffer = [0; HTTP2_PREFACE.len()];
    let mut length = 0;
    let read_preface = async {
        while length < buffer.len() && HTTP2_PREFACE.starts_with(&buffer[..length]) {
            match stream.read(&mut buffer[length..]).await {
                Ok(0) | Err(_) => return false,
                Ok(count) => length += count,
            }
        }
        true
    };
    let begun = tokio::select! {
        biased;
        begun = tokio::time::timeout(listener.limits.header_timeout, read_preface) => begun == Ok(true),
        () = activity.closed() => false,
    };
    if !begun {
        return;
    }
    let http2 = buffer[..length] == *HTTP2_PREFACE;
    let io = Tracked::new(stream, activity.clone()).replaying(&buffer[..length]);
    if http2 {
        Box::pin(http2::serve(server, listener, io, info, activity)).await;
    } else if listener.http1 {
        Box::pin(http1::serve(server, listener, io, info, activity, metrics)).await;
    }
}
