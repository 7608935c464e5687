//! HTTP calls that plugins make (`calls.send`): executed by a task of the worker, because a plugin's future must be
//! `Send` while the worker's connection pools are not.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Limited};
use tokio::sync::mpsc;

use super::Worker;
use crate::error::{Error, ErrorKind, Failure};
use crate::message::{Body, headers};
use crate::plugin::host::calls::MAX_BODY;
use crate::plugin::{CallError, CallResponse, OutboundCall};
use crate::upstream::{Outbound, Report};

/// Executes calls until the worker ends.
pub(super) async fn serve(worker: Rc<Worker>, mut calls: mpsc::UnboundedReceiver<OutboundCall>) {
    while let Some(OutboundCall { upstream, method, path, headers, body, timeout, mut reply }) = calls.recv().await {
        let worker = worker.clone();
        tokio::task::spawn_local(async move {
            let sent = tokio::time::timeout(timeout, send(&worker, &upstream, method, &path, headers, body));
            // A caller that is gone (its client left, and nobody shares the call) ends the call.
            let answer = tokio::select! {
                answer = sent => answer.unwrap_or(Err(CallError::Timeout)),
                () = reply.closed() => return,
            };
            let _ = reply.send(answer);
        });
    }
}

async fn send(
    worker: &Rc<Worker>,
    upstream: &str,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<CallResponse, CallError> {
    let snapshot = worker.snapshot();
    let upstream = snapshot.shared.upstreams.get(upstream).ok_or(CallError::UnknownUpstream)?;
    let outbound = Outbound { method, authority: None, path_and_query: path, headers, body: Body::full(body) };
    let response = worker.client.send(upstream, outbound, &mut Report::default()).await.map_err(|e| call_error(&e))?;
    let (mut parts, body) = response.into_parts();
    headers::strip_hop_by_hop(&mut parts.headers);
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
        // Either the upstream's error, or the limit's own.
        error.downcast_ref::<Error>().map_or(CallError::TooLarge, call_error)
    })?;
    Ok(CallResponse { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes() })
}

fn call_error(error: &Error) -> CallError {
    match error.kind() {
        ErrorKind::ResponseTooLarge => CallError::TooLarge,
        kind => match kind.failure() {
            Failure::Timeout => CallError::Timeout,
            Failure::Dns | Failure::Connect | Failure::Tls | Failure::NoEndpoint | Failure::Overload => {
                CallError::Connect
            }
            Failure::Reset | Failure::Protocol | Failure::Cancelled | Failure::Other => CallError::Reset,
        },
    }
}
