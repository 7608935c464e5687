//! Exports to receivers that are built from the official protobufs: a gRPC server of tonic with the services of
//! `opentelemetry-proto`, and an HTTP server of hyper that decodes the same messages.

mod away;
mod faults;
mod foreign;
mod headers;
mod kinds;
mod log;
mod made;
mod receiver;
mod tls;
mod workers;
