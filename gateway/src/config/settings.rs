//! The small sections: secrets, state, admin, logs, forwarding, limits of the process.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use http::HeaderName;
use ipnet::IpNet;

use super::context::Placed;
use super::fields::Fields;
use super::types::{At, Boolean, Choice, ExistingFile, Integer, List, Size, Text, text};
use super::{names, secrecy};
use crate::message::headers::{is_forwarding, is_odd};
use crate::model::{Forwarding, Limits, Log, LogFormat, Secret, State};
use crate::watch::read_regular;

/// Bytes of a secret; keys and tokens are far smaller.
const MAX_SECRET: u64 = 1 << 20;

/// One value of `secrets`. It is read here, once per load.
pub(super) fn secret(fields: &mut Fields<'_, '_>) -> Option<Secret> {
    let file = fields.optional(
        "file",
        "File that holds the secret; one line break at its end is not part of it.",
        At(ExistingFile),
    );
    let env = fields.optional("env", "Environment variable that holds the secret.", At(Text));
    let value = fields.optional("value", "The secret itself. For development: prefer file or env.", Text);
    fields.exactly_one(&["file", "env", "value"], "the secret has no source");
    let valid = fields.is_valid();
    let context = fields.context()?;
    let bytes = match (file, env, value) {
        (Some(Placed { position, value: path, .. }), ..) => match read_secret(&path) {
            Ok(bytes) => bytes,
            Err(message) => {
                context.error(position, message);
                return None;
            }
        },
        (None, Some(Placed { position, value: name, shown }), _) => match (context.environment)(&name) {
            Some(value) => value.into_bytes(),
            None => {
                let shown = if secrecy::is_variable(&name) { shown } else { "of this name".to_owned() };
                context.error(position, format!("the environment variable {shown} is not set"));
                return None;
            }
        },
        (None, None, Some(value)) => value.into_bytes(),
        (None, None, None) => return None,
    };
    if bytes.is_empty() {
        fields.error(fields.position("file"), "the secret is empty");
        return None;
    }
    valid.then(|| Secret::new(bytes))
}

fn read_secret(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes =
        read_regular(path, MAX_SECRET).map_err(|error| format!("{} can't be read: {error}", path.display()))?;
    // Editors and `echo` end files with a line break that nobody means.
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

/// The `state` section.
pub(super) fn state(fields: &mut Fields<'_, '_>) -> Option<State> {
    let backend = fields.default("backend", "Where kv and counters live: memory.", Choice(&[("memory", ())]), "memory");
    let max_entries = fields.default(
        "max_entries",
        "Entries of kv per namespace (a plugin in a route, or its share_state).",
        Integer(1..=1_000_000_000),
        "100000",
    );
    let max_bytes = fields.default(
        "max_bytes",
        "Bytes per namespace: of kv, of rate buckets and of sliding windows, each.",
        Size(1 << 10..=1 << 40),
        "64MiB",
    );
    let stored_responses =
        fields.default("stored_responses", "Bytes of stored responses over all routes.", Size(0..=1 << 40), "64MiB");
    let ((), max_entries, max_bytes, stored_responses) = (backend?, max_entries?, max_bytes?, stored_responses?);
    Some(State {
        max_entries: usize::try_from(max_entries).ok()?,
        max_bytes: usize::try_from(max_bytes).ok()?,
        stored_responses: usize::try_from(stored_responses).ok()?,
    })
}

/// The `admin` section. It shows what routes and plugins there are and has no login, so it stays on loopback unless
/// the operator says otherwise.
pub(super) fn admin(fields: &mut Fields<'_, '_>) -> Option<Placed<SocketAddr>> {
    let address = fields.default(
        "address",
        "IP address and port; loopback, unless allow_remote is true.",
        At(text(names::socket_address).hint(names::socket_address_hint)),
        "127.0.0.1:9901",
    );
    let allow_remote = fields.default(
        "allow_remote",
        "Allows an address that others can reach. There is no login: protect it by other means.",
        Boolean,
        "false",
    );
    let (address, allow_remote) = (address?, allow_remote?);
    if !address.value.ip().is_loopback() && !allow_remote {
        let message = format!(
            "{} can be reached from other machines, and the admin listener has no login; use 127.0.0.1 or [::1], or set \
             allow_remote: true",
            address.value
        );
        fields.error(address.position, message);
    }
    Some(address)
}

/// The `log` section.
pub(super) fn log(fields: &mut Fields<'_, '_>) -> Option<Log> {
    use tracing::Level;
    let level = fields.default(
        "level",
        "error, warn, info, debug or trace.",
        Choice(&[
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ]),
        "info",
    );
    let format = fields.default(
        "format",
        "text (for people) or json.",
        Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        "text",
    );
    let include = fields.default(
        "include",
        "What may hold personal data, and is masked otherwise: plugin_messages (messages of plugins whole, not only the words that \
         stand in their file and config).",
        List(Choice(&[("plugin_messages", ())])),
        "[]",
    );
    Some(Log { level: level?, format: format?, plugin_messages: !include?.is_empty() })
}

/// The `forwarding` section.
pub(super) fn forwarding(fields: &mut Fields<'_, '_>) -> Option<Forwarding> {
    let trusted = fields.default(
        "trusted",
        "Networks of proxies in front. Believed is what they say in X-Forwarded-For (where it is missing, in for= of \
         Forwarded), X-Forwarded-Proto and X-Request-Id; X-Forwarded-Host, Forwarded and the other fields that only a proxy \
         can know (see Forwarding fields) are passed on. Of others, all of these are replaced or removed.",
        List(text(network)),
        "[]",
    );
    let keep = fields.default(
        "keep",
        "Forwarding fields that are passed on as anybody sends them, for example cf-ipcountry.",
        List(text(kept)),
        "[]",
    );
    let lookalikes = fields.default(
        "lookalikes",
        "Names that some servers read as those of framing, forwarding or authentication fields, such as X_Forwarded_For and \
         Transfer_Encoding: drop, or keep.",
        Choice(&[("drop", false), ("keep", true)]),
        "drop",
    );
    let forwarded = fields.default(
        "forwarded",
        "Sends Forwarded (RFC 7239) beside the X-Forwarded fields: for= is the peer, host= and proto= are as the peer came \
         to this gateway.",
        Boolean,
        "false",
    );
    let via = fields.default("via", "The name in Via, CDN-Loop and Proxy-Status.", text(names::token), "gateway");
    let max_hops = fields.default(
        "max_hops",
        "How often a request may have passed gateways of this name (via) when it comes; then 508 (CDN-Loop, RFC 8586).",
        Integer(1..=100),
        "5",
    );
    Some(Forwarding {
        trusted: trusted?,
        forwarded: forwarded?,
        via: via?,
        keep: keep?,
        keep_lookalikes: lookalikes?,
        max_hops: usize::try_from(max_hops?).ok()?,
    })
}

/// The name of a field that `forwarding.keep` may name.
fn kept(text: &str) -> Result<HeaderName, String> {
    let name = names::header_name(text)?;
    match name.as_str() {
        "forwarded" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" | "x-real-ip" => {
            Err("is set by the gateway; name the networks whose word counts in \"trusted\"".to_owned())
        }
        other if is_forwarding(other) => Ok(name),
        other if is_odd(other) => {
            Err("is no forwarding field; \"lookalikes\" says what becomes of such names".to_owned())
        }
        _ => Err("is passed on anyway; remove it here".to_owned()),
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(|network| network.trunc())
        .map_err(|_| "is not a network; write 10.0.0.0/8 or an IP address".to_owned())
}

/// Less than this serves nobody.
const MIN_MEMORY: u64 = 1 << 20;

/// The `limits` section.
pub(super) fn limits(fields: &mut Fields<'_, '_>) -> Option<Limits> {
    let requests_per_worker = fields.default(
        "requests_per_worker",
        "Requests in flight per worker; above it new ones get 503 with Retry-After.",
        Integer(1..=10_000_000),
        "10000",
    );
    let body_memory = fields.optional(
        "body_memory",
        "Bytes of bodies that may be held in memory at a time; by default a quarter of the memory that the control groups \
         or the machine give. What needs more waits for up to a second and then gets 503 with Retry-After.",
        Size(MIN_MEMORY..=1 << 50),
    );
    let plugin_memory = fields.optional(
        "plugin_memory",
        "Bytes that the instances of all plugins may have together; by default a quarter of that memory as well.",
        Size(MIN_MEMORY..=1 << 50),
    );
    if !fields.is_valid() {
        return None;
    }
    let requests_per_worker = usize::try_from(requests_per_worker?).ok()?;
    Some(Limits { requests_per_worker, body_memory, plugin_memory })
}
