//! HTTP calls that plugins make (`calls.send`): executed by a task of the worker, because a plugin's future must be
//! `Send` while the worker's connection pools are not.

use std::rc::Rc;

use bytes::Bytes;
use http::Method;
use http::uri::PathAndQuery;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Failure};
use crate::message::{Body, FieldMap, Interim, Response, headers};
use crate::plugin::host::calls::MAX_BODY;
use crate::plugin::{CallError, CallResponse, OutboundCall, Whole};
use crate::serving::Services;
use crate::upstream::{Outbound, Report};

/// Executes calls until the worker ends.
pub(super) async fn serve(services: Rc<Services>, mut calls: mpsc::UnboundedReceiver<OutboundCall>) {
    while let Some(OutboundCall { upstream, method, path, headers, body, timeout, deadline, mut reply }) =
        calls.recv().await
    {
        let services = services.clone();
        tokio::task::spawn_local(async move {
            let report = Report::new(Instant::now().into_std());
            let sent = send(&services, &upstream, method, path, headers, body, &report);
            let answer = tokio::select! {
                answer = tokio::time::timeout_at(deadline, sent) => answer.ok(),
                // A caller that is gone (its client left, and nobody shares the call) ends the call. At the deadline it
                // goes as well, perhaps first.
                () = reply.closed() => if Instant::now() < deadline { return } else { None },
            };
            let _ = reply.send(answer.unwrap_or_else(|| {
                report.timed_out(timeout);
                Err(CallError::Timeout)
            }));
        });
    }
}

async fn send(
    services: &Services,
    upstream: &str,
    method: Method,
    path: String,
    headers: FieldMap,
    body: Bytes,
    report: &Report,
) -> Result<CallResponse, CallError> {
    let snapshot = services.snapshot();
    let upstream = snapshot.shared.upstreams.get(upstream).ok_or(CallError::UnknownUpstream)?;
    let memory = services.memory.budget();
    let full = |_| CallError::Busy;
    let body = memory.count(body.into()).map_err(full)?;
    let path_and_query = PathAndQuery::try_from(path).map_err(|_| call_error(&Error::from(ErrorKind::Internal)))?;
    let outbound = Outbound {
        method,
        authority: None,
        path_and_query,
        headers,
        body: Body::full(body),
        key: None,
        interim: Interim::default(),
        // The plugin's call was told of it already.
        trace: None,
    };
    let response = services.client.send(upstream, outbound, report).await.map_err(|e| call_error(&e))?;
    let Response { status, fields: mut headers, mut body } = response;
    headers::strip_hop_by_hop(&mut headers);
    let mut all = Whole::new(memory.clone(), body.size_hint().exact());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| call_error(&error))?.into_data() else { continue };
        if all.len() + data.len() as u64 > MAX_BODY as u64 {
            return Err(CallError::TooLarge);
        }
        all.push(&data).await.map_err(|error| call_error(&error))?;
    }
    Ok(CallResponse { status: status.as_u16(), headers, body: all.finish() })
}

fn call_error(error: &Error) -> CallError {
    match error.kind() {
        ErrorKind::ResponseTooLarge => CallError::TooLarge,
        kind => match kind.failure() {
            Failure::Timeout => CallError::Timeout,
            Failure::Dns | Failure::Connect | Failure::Tls | Failure::NoEndpoint => CallError::Connect,
            // No place among the requests in flight, or no memory.
            Failure::Overload => CallError::Busy,
            Failure::Reset | Failure::Protocol | Failure::Cancelled | Failure::Other => CallError::Reset,
        },
    }
}
