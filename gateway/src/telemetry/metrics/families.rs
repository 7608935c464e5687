//! What is counted of routes, upstreams, plugins and listeners. Handles are resolved when a configuration is loaded; on the
//! path of a request there is nothing to look up.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::cells::{Counter, Gauge};
use super::custom::{Allowed, CustomCells};
use super::histogram::{Histogram, Layout};
use crate::error::{Error, ErrorKind, Failure};
use crate::exchange::Protocol;
use crate::phase::Phase;
use crate::trace::Trace;

pub(super) const PROTOCOLS: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Http3];
/// By first digit of the status; `none` where the client was sent no status.
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
pub(super) const FAILURES: [Failure; 10] = [
    Failure::Dns,
    Failure::Connect,
    Failure::Tls,
    Failure::Timeout,
    Failure::Reset,
    Failure::Protocol,
    Failure::Overload,
    Failure::NoEndpoint,
    Failure::Cancelled,
    Failure::Other,
];
/// The phases of an exchange; calls at load belong to no worker.
pub(super) const PHASES: [Phase; Phase::OF_AN_EXCHANGE.len()] = Phase::OF_AN_EXCHANGE;
/// Why a call of a plugin failed.
pub const PLUGIN_FAILURES: [&str; 9] =
    ["trap", "deadline", "memory", "host-calls", "output", "instances", "share", "penalty", "other"];
/// Why a connection, or a request that never became one, was not served.
pub const REJECTIONS: [&str; 7] = ["limit", "tls", "cleartext", "timeout", "malformed", "flood", "other"];

/// Why a request was refused for want of room, by the error's name.
pub(super) const SHED: [ErrorKind; 4] =
    [ErrorKind::Overload, ErrorKind::BodyMemory, ErrorKind::PluginMemory, ErrorKind::UpstreamLimit];

/// A family with one number per owner (route, upstream, plugin, listener), whose name is its only label. It is written
/// because it stands in its owner's table.
pub(super) struct Family<T> {
    /// Its name.
    pub(super) name: &'static str,
    /// What it means.
    pub(super) help: &'static str,
    /// Where a worker counts it.
    pub(super) cell: Cell<T>,
}

/// What kind of number it is, and which one.
pub(super) enum Cell<T> {
    /// Only grows.
    Counter(fn(&T) -> &Counter),
    /// Goes up and down.
    Gauge(fn(&T) -> &Gauge),
}

const fn counter<T>(name: &'static str, help: &'static str, cell: fn(&T) -> &Counter) -> Family<T> {
    Family { name, help, cell: Cell::Counter(cell) }
}

const fn gauge<T>(name: &'static str, help: &'static str, cell: fn(&T) -> &Gauge) -> Family<T> {
    Family { name, help, cell: Cell::Gauge(cell) }
}

/// One worker's numbers of one route.
#[derive(Debug)]
pub struct RouteCells {
    pub(super) requests: [[Counter; CLASSES.len()]; PROTOCOLS.len()],
    pub(super) duration: Histogram,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
    pub(super) shed: [Counter; SHED.len()],
}

/// What is counted of an exchange that is over.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'e> {
    /// How the client speaks.
    pub protocol: Protocol,
    /// What it was sent, if anything was.
    pub status: Option<StatusCode>,
    /// From the request's head to the end of the response.
    pub took: Duration,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// What went wrong.
    pub error: Option<&'e Error>,
    /// Its place in a trace.
    pub trace: Option<&'e Trace>,
}

/// The handle of a route.
pub type RouteMetrics = Arc<RouteCells>;

impl RouteCells {
    pub(super) const FAMILIES: [Family<Self>; 2] = [
        counter("gateway_request_body_bytes_total", "Body bytes received from clients.", |cell| &cell.bytes_in),
        counter("gateway_response_body_bytes_total", "Body bytes sent to clients.", |cell| &cell.bytes_out),
    ];

    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            requests: Default::default(),
            duration: Histogram::new(layout),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            shed: Default::default(),
        }
    }

    /// Notes one finished exchange.
    pub fn finished(&self, exchange: &Finished<'_>) {
        let protocol = match exchange.protocol {
            Protocol::Http1 => 0,
            Protocol::Http2 => 1,
            Protocol::Http3 => 2,
        };
        let class = exchange.status.map_or(0, |status| usize::from(status.as_u16() / 100).min(CLASSES.len() - 1));
        self.requests[protocol][class].add(1);
        self.duration.observe_duration(exchange.took, exchange.trace);
        self.bytes_in.add(exchange.bytes_in);
        self.bytes_out.add(exchange.bytes_out);
        if let Some(error) = exchange.error
            && let Some(place) = SHED.iter().position(|known| *known == error.kind())
        {
            self.shed[place].add(1);
        }
    }
}

/// One worker's numbers of one upstream.
#[derive(Debug)]
pub struct UpstreamCells {
    /// Requests sent, retries included.
    pub attempts: Counter,
    /// Second attempts.
    pub retries: Counter,
    /// Requests that were not sent because as many as are allowed were in flight.
    pub refused: Counter,
    /// Connections opened.
    pub connects: Counter,
    /// Open connections, idle or busy.
    pub connections: Gauge,
    /// Requests waiting for the end of their response.
    pub in_flight: Gauge,
    pub(super) failures: [Counter; FAILURES.len()],
    pub(super) latency: Histogram,
}

/// The handle of an upstream.
pub type UpstreamMetrics = Arc<UpstreamCells>;

impl UpstreamCells {
    pub(super) const FAMILIES: [Family<Self>; 6] = [
        counter(
            "gateway_upstream_attempts_total",
            "Attempts to get a response from an upstream, retries included.",
            |cell| &cell.attempts,
        ),
        counter("gateway_upstream_retries_total", "Attempts after the first of a request.", |cell| &cell.retries),
        counter("gateway_upstream_refused_total", "Requests above the number that may be in flight.", |cell| {
            &cell.refused
        }),
        counter("gateway_upstream_connects_total", "Connections opened to an upstream.", |cell| &cell.connects),
        gauge("gateway_upstream_connections", "Open connections to an upstream.", |cell| &cell.connections),
        gauge("gateway_upstream_requests_in_flight", "Requests that an upstream is working on.", |cell| {
            &cell.in_flight
        }),
    ];

    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            attempts: Counter::default(),
            retries: Counter::default(),
            refused: Counter::default(),
            connects: Counter::default(),
            connections: Gauge::default(),
            in_flight: Gauge::default(),
            failures: Default::default(),
            latency: Histogram::new(layout),
        }
    }

    /// Notes an attempt that failed.
    pub fn failed(&self, failure: Failure) {
        if let Some(place) = FAILURES.iter().position(|known| *known == failure) {
            self.failures[place].add(1);
        }
    }

    /// Notes the time from the first byte sent to the response's head.
    pub fn answered(&self, took: Duration) {
        self.latency.observe_duration(took, None);
    }
}

/// One worker's numbers of one plugin.
#[derive(Debug, Default)]
pub(super) struct PluginCells {
    pub(super) calls: [Counter; PHASES.len()],
    pub(super) nanoseconds: [Counter; PHASES.len()],
    pub(super) failures: [Counter; PLUGIN_FAILURES.len()],
    /// Calls of its own that were refused: too many instances waited for one.
    pub(super) calls_refused: Counter,
    /// Live instances.
    pub(super) instances: Gauge,
    pub(super) custom: CustomCells,
}

impl PluginCells {
    pub(super) const FAMILIES: [Family<Self>; 2] = [
        counter(
            "gateway_plugin_outbound_refused_total",
            "Calls that plugins were not let make: too many of their instances waited for one.",
            |cell| &cell.calls_refused,
        ),
        gauge("gateway_plugin_instances", "Live instances of plugins.", |cell| &cell.instances),
    ];
}

/// The handle of a plugin.
#[derive(Clone, Debug)]
pub struct PluginMetrics {
    pub(super) name: Arc<str>,
    pub(super) cells: Arc<PluginCells>,
    pub(super) allowed: Arc<Allowed>,
}

impl PluginMetrics {
    /// Notes a call of a phase, and how long it took.
    pub fn called(&self, phase: Phase, took: Duration) {
        if let Some(place) = PHASES.iter().position(|known| *known == phase) {
            self.cells.calls[place].add(1);
            self.cells.nanoseconds[place].add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Notes a failed call, by a word of [`PLUGIN_FAILURES`]; others count as `other`.
    pub fn failed(&self, why: &str) {
        let place = PLUGIN_FAILURES.iter().position(|known| *known == why).unwrap_or(PLUGIN_FAILURES.len() - 1);
        self.cells.failures[place].add(1);
    }

    /// Notes a call of the plugin's own that was refused.
    pub fn call_refused(&self) {
        self.cells.calls_refused.add(1);
    }

    /// How many instances are alive on this worker.
    pub fn instances(&self) -> &Gauge {
        &self.cells.instances
    }

    /// The contract's `metrics.count`.
    pub fn count(&self, name: &str, labels: &[(&str, &str)], delta: u64) {
        self.cells.custom.count(&self.allowed, &self.name, name, labels, delta);
    }

    /// The contract's `metrics.observe`.
    pub fn observe(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.cells.custom.observe(&self.allowed, &self.name, name, labels, value);
    }
}

/// What the calls of a plugin for one route cost on one worker.
#[derive(Debug, Default)]
pub struct EntryCells {
    pub(super) nanoseconds: Counter,
    pub(super) host_calls: Counter,
    /// Bytes of bodies that it was given, and of what it gave back.
    pub(super) bytes: [Counter; BYTES.len()],
    pub(super) traps: Counter,
    pub(super) pauses: Counter,
    pub(super) memory: Gauge,
}

/// Where bytes went, from the plugin's point of view.
pub(super) const BYTES: [&str; 2] = ["in", "out"];

/// The handle of a plugin in a route.
pub type EntryMetrics = Arc<EntryCells>;

impl EntryCells {
    /// Notes a call: its CPU time, its host calls, the bytes that it was given and those that it gave.
    pub fn called(&self, cpu: Duration, host_calls: u32, given: usize, gave: usize) {
        self.nanoseconds.add(u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX));
        self.host_calls.add(host_calls.into());
        for (counter, bytes) in self.bytes.iter().zip([given, gave]) {
            if bytes > 0 {
                counter.add(bytes as u64);
            }
        }
    }

    /// Notes that a call trapped.
    pub fn trapped(&self) {
        self.traps.add(1);
    }

    /// Notes that the plugin is not called, or not instantiated, for a while.
    pub fn paused(&self) {
        self.pauses.add(1);
    }

    /// Bytes of the instances' memories.
    pub const fn memory(&self) -> &Gauge {
        &self.memory
    }
}

/// One worker's numbers of one listener.
#[derive(Debug, Default)]
pub struct ListenerCells {
    /// Connections accepted.
    pub accepted: Counter,
    /// Open connections.
    pub connections: Gauge,
    pub(super) rejected: [Counter; REJECTIONS.len()],
}

/// The handle of a listener.
pub type ListenerMetrics = Arc<ListenerCells>;

impl ListenerCells {
    pub(super) const FAMILIES: [Family<Self>; 2] = [
        counter("gateway_listener_accepted_total", "Accepted connections.", |cell| &cell.accepted),
        gauge("gateway_listener_connections", "Open connections of clients.", |cell| &cell.connections),
    ];

    /// Notes a connection that was not served, by a word of [`REJECTIONS`]; others count as `other`.
    pub fn rejected(&self, why: &str) {
        let place = REJECTIONS.iter().position(|known| *known == why).unwrap_or(REJECTIONS.len() - 1);
        self.rejected[place].add(1);
    }
}
