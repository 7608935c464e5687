//! The services of OTLP over gRPC.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1 as logs;
use opentelemetry_proto::tonic::collector::metrics::v1 as metrics;
use opentelemetry_proto::tonic::collector::trace::v1 as trace;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

use super::{Message, Received, Reply, Shared};

pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, shared: Arc<Shared>) {
    let service = Service(shared);
    let gzip = CompressionEncoding::Gzip;
    let routes =
        Routes::new(trace::trace_service_server::TraceServiceServer::new(service.clone()).accept_compressed(gzip))
            .add_service(logs::logs_service_server::LogsServiceServer::new(service.clone()).accept_compressed(gzip))
            .add_service(metrics::metrics_service_server::MetricsServiceServer::new(service).accept_compressed(gzip));
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .await;
}

#[derive(Clone)]
struct Service(Arc<Shared>);

impl Service {
    /// How many are rejected.
    async fn answer<T>(&self, path: &str, request: Request<T>, message: fn(T) -> Message) -> Result<i64, Status> {
        let (metadata, _, body) = request.into_parts();
        let headers = metadata.into_headers();
        let secret = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let reply = self.0.next(Received { path: path.to_owned(), headers, message: message(body) });
        match reply {
            Reply::Take | Reply::Garbage | Reply::Endless => Ok(0),
            Reply::Partly(rejected) => Ok(rejected),
            Reply::Busy(after) => Err(busy(after)),
            Reply::Refuse => Err(Status::invalid_argument(format!("no: {secret}"))),
            Reply::Hang => std::future::pending().await,
        }
    }
}

/// `Unavailable` with `RetryInfo` in its details, written by hand: `google.rpc.Status` with one `google.protobuf.Any`.
fn busy(after: Option<Duration>) -> Status {
    let Some(after) = after else { return Status::unavailable("busy") };
    let delay = prost_duration(after);
    let info = field(1, &delay);
    let mut any = field(1, b"type.googleapis.com/google.rpc.RetryInfo");
    any.extend(field(2, &info));
    Status::with_details(Code::Unavailable, "busy", field(3, &any).into())
}

fn prost_duration(duration: Duration) -> Vec<u8> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Proto {
        #[prost(int64, tag = "1")]
        seconds: i64,
        #[prost(int32, tag = "2")]
        nanos: i32,
    }
    Proto { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 }.encode_to_vec()
}

/// A field of bytes of fewer than 128.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, u8::try_from(bytes.len()).expect("short")];
    field.extend_from_slice(bytes);
    field
}

#[tonic::async_trait]
impl trace::trace_service_server::TraceService for Service {
    async fn export(
        &self,
        request: Request<trace::ExportTraceServiceRequest>,
    ) -> Result<Response<trace::ExportTraceServiceResponse>, Status> {
        let rejected_spans = self.answer("TraceService", request, Message::Traces).await?;
        let partial = trace::ExportTracePartialSuccess { rejected_spans, error_message: "some".to_owned() };
        Ok(Response::new(trace::ExportTraceServiceResponse { partial_success: Some(partial) }))
    }
}

#[tonic::async_trait]
impl logs::logs_service_server::LogsService for Service {
    async fn export(
        &self,
        request: Request<logs::ExportLogsServiceRequest>,
    ) -> Result<Response<logs::ExportLogsServiceResponse>, Status> {
        let rejected_log_records = self.answer("LogsService", request, Message::Logs).await?;
        let partial = logs::ExportLogsPartialSuccess { rejected_log_records, error_message: "some".to_owned() };
        Ok(Response::new(logs::ExportLogsServiceResponse { partial_success: Some(partial) }))
    }
}

#[tonic::async_trait]
impl metrics::metrics_service_server::MetricsService for Service {
    async fn export(
        &self,
        request: Request<metrics::ExportMetricsServiceRequest>,
    ) -> Result<Response<metrics::ExportMetricsServiceResponse>, Status> {
        let rejected_data_points = self.answer("MetricsService", request, Message::Metrics).await?;
        let partial = metrics::ExportMetricsPartialSuccess { rejected_data_points, error_message: "some".to_owned() };
        Ok(Response::new(metrics::ExportMetricsServiceResponse { partial_success: Some(partial) }))
    }
}
