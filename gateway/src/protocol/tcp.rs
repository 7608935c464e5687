//! A connection over TCP until it is known what it speaks: TLS or clear text, HTTP/1 or HTTP/2.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Group};
use super::cleartext::{self, Opening};
use super::server::Server;
use super::tracked::{OverTcp, Tracked};
use super::{http1, http2, linger};
use crate::exchange::ConnectionInfo;
use crate::handler::Handler;
use crate::listener::ListenerSettings;
use crate::model::Listener;
use crate::sanitize::safe;
use crate::sensitive::Sensitive;
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
    // In boxes, so that a connection keeps no room for how it was found out what it speaks.
    match &settings.tls {
        Some(tls) => {
            let Some(stream) = Box::pin(encrypted(tls, &listener, stream, &activity, metrics)).await else { return };
            let session = stream.get_ref().1;
            info.sni = session.server_name().map(|name| Sensitive::new(name.to_ascii_lowercase().into()));
            let http2 = session.alpn_protocol() == Some(b"h2");
            let io = Tracked::new(stream, activity.clone());
            speak(http2, server, &listener, io, info, activity, metrics).await;
        }
        None => {
            let Some((io, http2)) = Box::pin(unencrypted(&listener, stream, &activity)).await else { return };
            speak(http2, server, &listener, io, info, activity, metrics).await;
        }
    }
}

/// Serves a connection that is known to speak HTTP/2, or HTTP/1. In a box of its own size: a connection keeps room for its own
/// protocol only.
fn speak<'a, S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static, H: Handler>(
    http2: bool,
    server: Rc<Server<H>>,
    listener: &'a Listener,
    io: Tracked<S>,
    info: ConnectionInfo,
    activity: Rc<Activity>,
    metrics: &'a ListenerMetrics,
) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
    if http2 {
        Box::pin(http2::serve(server, listener, io, info, activity, metrics))
    } else if listener.http1 {
        Box::pin(http1::serve(server, listener, io, info, activity, metrics))
    } else {
        Box::pin(std::future::ready(()))
    }
}

/// The stream after its TLS handshake; `None` where there was none, and all is said about that.
async fn encrypted(
    tls: &Arc<rustls::ServerConfig>,
    listener: &Listener,
    stream: TcpStream,
    activity: &Rc<Activity>,
    metrics: &ListenerMetrics,
) -> Option<TlsStream<TcpStream>> {
    let handshake = handshake(tls.clone(), stream);
    let handshaken = tokio::select! {
        biased;
        handshaken = tokio::time::timeout(listener.limits.header_timeout, handshake) => handshaken,
        () = activity.closed() => {
            metrics.rejected("timeout");
            return None;
        }
    };
    match handshaken {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(Unencrypted::Refused(stream))) => {
            metrics.rejected("cleartext");
            tracing::debug!(listener = %listener.name, "plain HTTP on a port that speaks TLS");
            linger::close(stream, activity).await;
        }
        Ok(Err(Unencrypted::Failed(error))) => {
            metrics.rejected("tls");
            tracing::debug!(listener = %listener.name, error = %safe!(error), "TLS handshake failed");
        }
        Err(_) => {
            metrics.rejected("timeout");
            tracing::debug!(listener = %listener.name, "TLS handshake took too long");
        }
    }
    None
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

/// Tells HTTP/2 with prior knowledge (RFC 9113 section 3.3) from HTTP/1 by its first bytes: true for HTTP/2. `None` where
/// too few of them came.
async fn unencrypted(
    listener: &Listener,
    mut stream: TcpStream,
    activity: &Rc<Activity>,
) -> Option<(Tracked<TcpStream>, bool)> {
    if !listener.http2 {
        return Some((Tracked::new(stream, activity.clone()), false));
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
    let io = Tracked::new(stream, activity.clone()).replaying(&buffer[..length]);
    begun.then_some((io, buffer[..length] == *HTTP2_PREFACE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Inbound;
    use crate::message::Response;

    fn size<F: Future>(_: impl FnOnce() -> F) -> usize {
        size_of::<F>()
    }

    async fn answer(_: Inbound) -> Response {
        unreachable!("nothing is asked")
    }

    /// What a connection is served by lies in memory as long as it is open, idle or not.
    #[test]
    #[allow(unreachable_code, clippy::diverging_sub_expression)]
    fn an_open_connection_takes_little_room() {
        #[allow(clippy::unnecessary_wraps)]
        fn server<H: Handler>(_: H) -> Rc<Server<H>> {
            unreachable!()
        }
        let task = size(|| {
            serve(server(answer), unreachable!(), unreachable!(), unreachable!(), unreachable!(), unreachable!())
        });
        let http1 = size(|| {
            http1::serve::<TcpStream, _>(
                server(answer),
                unreachable!(),
                unreachable!(),
                unreachable!(),
                unreachable!(),
                unreachable!(),
            )
        });
        let http2 = size(|| {
            http2::serve::<TcpStream, _>(
                server(answer),
                unreachable!(),
                unreachable!(),
                unreachable!(),
                unreachable!(),
                unreachable!(),
            )
        });
        let sizes = [task, http1, http2];
        assert!(task <= 1792 && http1 <= 1792 && http2 <= 2048, "{sizes:?}");
    }
}
