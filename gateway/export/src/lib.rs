//! Sends spans, log records and metrics to a collector, off the threads that serve requests.
//!
//! [`model`] is what the gateway makes: plain data, whose constant texts stay constant. Workers hand it to a [`Sink`] each,
//! which never waits. A task on a runtime of the gateway's choice takes it from there: in batches, by OTLP over HTTP or gRPC
//! or as Zipkin's JSON, again with growing pauses where that fails, and within bounds: what there is no room for is dropped
//! and counted. Metrics are asked for at an interval.
//!
//! ```
//! use std::time::Duration;
//! use telemetry_export::model::{KeyValue, Kind, Resource, Scope, Span, Status};
//! use telemetry_export::{Collector, Header, Protocol, QueueSettings, Settings, Source};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! // At load: everything that can be wrong with the settings is known here.
//! let mut settings = Settings::new(Protocol::OtlpHttp, "http://127.0.0.1:4318".parse()?);
//! settings.headers.push(Header::new("authorization", b"Bearer a secret")?);
//! # settings.timeout = Duration::from_millis(50);
//! let collector = Collector::new(settings)?;
//! let source = Source {
//!     resource: Resource { service_name: "gateway".into(), ..Resource::default() },
//!     scope: Scope { name: "gateway".into(), version: "0.1.0".into() },
//! };
//! let export = collector.spans(source, QueueSettings::default(), runtime.handle());
//!
//! // On a worker.
//! let sink = export.sink();
//! sink.send(vec![Span {
//!     trace_id: [1; 16],
//!     span_id: [2; 8],
//!     parent: None,
//!     parent_is_remote: false,
//!     flags: 1,
//!     trace_state: None,
//!     name: "GET".into(),
//!     kind: Kind::Server,
//!     start: 1_700_000_000_000_000_000,
//!     end: 1_700_000_000_005_000_000,
//!     attributes: vec![KeyValue::new("http.response.status_code", 200)],
//!     dropped_attributes: 0,
//!     events: Vec::new(),
//!     dropped_events: 0,
//!     status: Status::Unset,
//! }]);
//!
//! // At the end: nobody listens there, so all of it is lost, and counted.
//! let counters = export.counters().clone();
//! runtime.block_on(export.finish(Duration::from_secs(1)));
//! assert_eq!((counters.sent(), counters.dropped_in_all(), counters.queued()), (0, 1, 0));
//! # Ok(())
//! # }
//! ```

mod answer;
mod backoff;
mod collector;
mod counters;
mod delivery;
mod endpoint;
mod export;
mod failure;
pub mod model;
mod notices;
mod otlp;
mod push;
mod queue;
mod settings;
mod stop;
mod transport;
mod zipkin;

pub use backoff::RetrySettings;
pub use collector::{Collector, Export, InvalidSettings, Push, Source};
pub use counters::{Counters, DropReason};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use queue::{Item, Sink};
pub use settings::{Compression, Header, Identity, InvalidHeader, Protocol, QueueSettings, Settings, Trust};
pub use transport::InvalidTls;
