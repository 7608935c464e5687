//! The `listeners` section.

use std::net::SocketAddr;
use std::sync::Arc;

use super::context::{Context, Placed};
use super::fields::{Fields, Object};
use super::names;
use super::tree::Position;
use super::types::{At, Choice, ExistingFile, Integer, List, NonEmpty, Size, text, time};
use crate::model::{CertificateFiles, Listener, ListenerLimits, ListenerTls};

#[derive(Clone, Copy, PartialEq, Eq)]
enum ProtocolName {
    Http1,
    Http2,
    Http3,
}

const PROTOCOLS: Choice<ProtocolName> =
    Choice(&[("http1", ProtocolName::Http1), ("http2", ProtocolName::Http2), ("http3", ProtocolName::Http3)]);

/// Hyper's smallest buffer for a request's head; less would refuse ordinary requests.
const SMALLEST_HEAD: u64 = 8 << 10;
/// The largest limit. Each field counts at least 33 bytes of it over HTTP/3, and a header map holds no more than 24,576
/// fields: h3 would panic above that.
const LARGEST_HEAD: u64 = 512 << 10;

/// A listener and where its name and address stand.
pub(super) struct PlacedListener {
    pub(super) name: Position,
    pub(super) address: Position,
    pub(super) listener: Listener,
}

/// One entry of `listeners`.
pub(super) fn listener(fields: &mut Fields<'_, '_>) -> Option<PlacedListener> {
    let name = fields.required("name", "Its name, for logs and metrics.", At(text(names::name)));
    let address = fields.required(
        "address",
        "IP address and port, for example 0.0.0.0:8443 or [::]:8443. The latter is IPv6 only: for both families, a listener each. Port 0 lets the system choose.",
        At(text(names::socket_address).hint(names::socket_address_hint)),
    );
    let protocols = fields.default(
        "protocols",
        "What is spoken: http1, http2 (by ALPN with TLS, by prior knowledge without), http3 (the same port over UDP).",
        NonEmpty(At(PROTOCOLS)),
        "[http1, http2]",
    );
    let tls = fields.optional("tls", "Makes the listener encrypted.", Object(tls));
    let limits = fields.default("limits", "Limits of its connections.", Object(limits), "{}");

    if let Some(protocols) = &protocols {
        for (index, protocol) in protocols.iter().enumerate() {
            if protocols[..index].iter().any(|other| other.value == protocol.value) {
                fields.error(protocol.position, "this protocol is listed twice");
            }
            if protocol.value == ProtocolName::Http3 && !fields.has("tls") {
                fields.error(protocol.position, "http3 needs TLS: add \"tls\" to this listener, or remove http3");
            }
        }
    }
    let has_tls = fields.has("tls");
    let (name, address, protocols, limits) = (name?, address?, protocols?, limits?);
    let speaks = |protocol| protocols.iter().any(|listed| listed.value == protocol);
    if has_tls && tls.is_none() {
        return None;
    }
    Some(PlacedListener {
        name: name.position,
        address: address.position,
        listener: Listener {
            name: Arc::from(name.value),
            address: address.value,
            http1: speaks(ProtocolName::Http1),
            http2: speaks(ProtocolName::Http2),
            http3: speaks(ProtocolName::Http3),
            tls,
            limits,
        },
    })
}

fn tls(fields: &mut Fields<'_, '_>) -> Option<ListenerTls> {
    let certificates = fields.default(
        "certificates",
        "Certificates, chosen by SNI; the first also serves clients that ask for another name.",
        List(Object(certificate)),
        "[]",
    );
    let self_signed = fields.default(
        "self_signed",
        "Makes a certificate for these names at every start. For development: no client trusts it.",
        List(text(names::host)),
        "[]",
    );
    let tls12 = fields.default(
        "min_version",
        "The oldest TLS version offered, \"1.2\" or \"1.3\".",
        Choice(&[("1.2", true), ("1.3", false)]),
        "1.2",
    );
    if certificates.as_ref().is_some_and(Vec::is_empty) && self_signed.as_ref().is_some_and(Vec::is_empty) {
        fields.error(
            fields.position("certificates"),
            "tls has no certificate; list some in \"certificates\", or names in \"self_signed\" for development",
        );
    }
    Some(ListenerTls { certificates: certificates?, self_signed: self_signed?, tls12: tls12? })
}

fn certificate(fields: &mut Fields<'_, '_>) -> Option<CertificateFiles> {
    let certificate = fields.required("certificate", "PEM file with the chain, leaf first.", ExistingFile);
    let private_key = fields.required("private_key", "PEM file with the private key.", ExistingFile);
    Some(CertificateFiles { certificate: certificate?, private_key: private_key? })
}

fn limits(fields: &mut Fields<'_, '_>) -> Option<ListenerLimits> {
    let connections = fields.default(
        "connections",
        "Open connections of this listener, over all workers.",
        Integer(1..=10_000_000),
        "65536",
    );
    let header_bytes = fields.default(
        "header_bytes",
        "Bytes of a request's head, at most 512KiB.",
        Size(SMALLEST_HEAD..=LARGEST_HEAD),
        "64KiB",
    );
    let header_count = fields.default("header_count", "Number of header fields.", Integer(1..=10_000), "100");
    let header_timeout = fields.default(
        "header_timeout",
        "From the first byte (or the accept) to the end of the request's head.",
        time(),
        "15s",
    );
    let idle_timeout =
        fields.default("idle_timeout", "How long a connection may stay without a request.", time(), "75s");
    let body_timeout = fields.default(
        "body_timeout",
        "How long a client may take to send or read the next piece of a body.",
        time(),
        "60s",
    );
    let streams =
        fields.default("streams", "Concurrent streams of an HTTP/2 or HTTP/3 connection.", Integer(1..=100_000), "128");
    Some(ListenerLimits {
        connections: usize::try_from(connections?).ok()?,
        header_bytes: usize::try_from(header_bytes?).ok()?,
        header_count: usize::try_from(header_count?).ok()?,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        body_timeout: body_timeout?,
        streams: u32::try_from(streams?).ok()?,
    })
}

/// Names are unique, and no two listeners (nor the admin listener) want the same port.
pub(super) fn check(listeners: &[PlacedListener], admin: Option<&Placed<SocketAddr>>, context: &mut Context<'_>) {
    for (index, this) in listeners.iter().enumerate() {
        let before = &listeners[..index];
        if let Some(other) = before.iter().find(|other| other.listener.name == this.listener.name) {
            let message = format!("the name \"{}\" is already used at line {}", this.listener.name, other.name.0);
            context.error(this.name, message);
        }
        if let Some(other) = before.iter().find(|other| overlap(&other.listener, &this.listener)) {
            let message = format!(
                "{} overlaps with {} of listener \"{}\" at line {}",
                this.listener.address, other.listener.address, other.listener.name, other.address.0
            );
            context.error(this.address, message);
        }
    }
    listeners.iter().for_each(|this| warn_of_one_family(this, listeners, context));
    let Some(admin) = admin else { return };
    let taken = |this: &&PlacedListener| uses_tcp(&this.listener) && same_port(this.listener.address, admin.value);
    if let Some(other) = listeners.iter().find(taken) {
        let message = format!(
            "{} overlaps with {} of listener \"{}\" at line {}",
            admin.value, other.listener.address, other.listener.name, other.address.0
        );
        context.error(admin.position, message);
    }
}

/// `[::]` is one address family here as it is for NGINX (`ipv6only=on`), while with many servers it stands for both.
fn warn_of_one_family(this: &PlacedListener, listeners: &[PlacedListener], context: &mut Context<'_>) {
    let address = this.listener.address;
    let is_ipv4 = |other: &PlacedListener| {
        let other = other.listener.address;
        other.is_ipv4() && (other.port() == address.port() || address.port() == 0)
    };
    if address.is_ipv6() && address.ip().is_unspecified() && !listeners.iter().any(is_ipv4) {
        let name = &this.listener.name;
        let port = address.port();
        let message = format!(
            "listener \"{name}\": {address} serves IPv6 only; for clients of IPv4 add a listener at 0.0.0.0:{port}"
        );
        context.warn(this.address, message);
    }
}

fn uses_tcp(listener: &Listener) -> bool {
    listener.http1 || listener.http2
}

/// TCP and UDP ports are different things: a listener of HTTP/3 alone may share its number with one of HTTP/1.1.
fn overlap(a: &Listener, b: &Listener) -> bool {
    same_port(a.address, b.address) && ((uses_tcp(a) && uses_tcp(b)) || (a.http3 && b.http3))
}

fn same_port(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
