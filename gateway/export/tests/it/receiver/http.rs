//! OTLP over HTTP, and what Zipkin has in its place.

use std::convert::Infallible;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Message, Received, Reply, Shared};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, shared.clone()));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    assert_eq!(head.method, Method::POST);
    let mut body = body.collect().await?.to_bytes().to_vec();
    if head.headers.get(CONTENT_ENCODING) == Some(&HeaderValue::from_static("gzip")) {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).expect("gzip");
        body = plain;
    }
    let media_type = head.headers.get(CONTENT_TYPE).cloned();
    let protobuf = media_type == Some(HeaderValue::from_static("application/x-protobuf"));
    let message = match head.uri.path() {
        path if path.ends_with("/v1/traces") && protobuf => Message::Traces(decode(&body)),
        path if path.ends_with("/v1/logs") && protobuf => Message::Logs(decode(&body)),
        path if path.ends_with("/v1/metrics") && protobuf => Message::Metrics(decode(&body)),
        _ if media_type == Some(HeaderValue::from_static("application/json")) => {
            Message::Zipkin(serde_json::from_slice(&body).expect("JSON"))
        }
        _ => return Ok(plain(StatusCode::NOT_FOUND, Vec::new())),
    };
    let secret = head.headers.get("authorization").map(|value| value.as_bytes().to_vec()).unwrap_or_default();
    let received = Received { path: head.uri.path().to_owned(), headers: head.headers, message };
    let answer = match shared.next(received) {
        Reply::Take => plain(StatusCode::OK, Vec::new()),
        Reply::Partly(rejected_spans) => {
            let partial = ExportTracePartialSuccess { rejected_spans, error_message: "some".to_owned() };
            let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
            plain(StatusCode::OK, answer.encode_to_vec())
        }
        Reply::Busy(after) => {
            let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, b"busy".to_vec());
            if let Some(after) = after {
                answer.headers_mut().insert(RETRY_AFTER, after.as_secs().into());
            }
            answer
        }
        Reply::Refuse => plain(StatusCode::BAD_REQUEST, secret),
        Reply::Garbage => plain(StatusCode::OK, vec![0xff; 100]),
        Reply::Endless => Response::new(Endless.boxed_unsync()),
        Reply::Hang => std::future::pending().await,
    };
    Ok(answer)
}

fn decode<T: prost::Message + Default>(body: &[u8]) -> T {
    T::decode(body).expect("a message")
}

fn plain(status: StatusCode, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

/// A body that goes on as long as it is read.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 16 << 10])))))
    }
}
