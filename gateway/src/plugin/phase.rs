//! The plugin contract in Rust: types generated from `plugin-sdk/wit/plugin.wit`, and the names of the phases.
//!
//! Only the imports are generated; the exported `handler` is looked up once per instance (see `instance`), which needs
//! no generated (unsafe) glue and keeps the typed functions at hand.

/// What `bindgen!` makes of the contract.
pub mod bindings {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::unwrap_used)]

    wasmtime::component::bindgen!({
        path: "../plugin-sdk/wit",
        inline: r"
            package gateway:host;
            world host {
                import edge:gateway/types@0.1.0;
                import edge:gateway/http@0.1.0;
                import edge:gateway/sys@0.1.0;
                import edge:gateway/secrets@0.1.0;
                import edge:gateway/crypto@0.1.0;
                import edge:gateway/kv@0.1.0;
                import edge:gateway/counters@0.1.0;
                import edge:gateway/metrics@0.1.0;
                import edge:gateway/calls@0.1.0;
            }
        ",
        world: "gateway:host/host",
        imports: {
            "edge:gateway/calls.send": async | trappable,
            default: trappable,
        },
        with: {
            "edge:gateway/crypto.key": crate::plugin::host::crypto::Key,
        },
        require_store_data_send: true,
    });
}

pub use crate::phase::Phase;
pub use bindings::edge::gateway::types::{
    BodyMode, ChunkAction, ConfigError, Failure, FailureAction, Header, LocalResponse, Manifest, Phases, RequestAction,
    ResponseAction, StoredResponse, Traits,
};

/// The interface that a plugin exports, with the version of the contract that this host speaks.
pub const HANDLER: &str = "edge:gateway/handler@0.1.0";

impl From<crate::error::Failure> for Failure {
    fn from(failure: crate::error::Failure) -> Self {
        use crate::error::Failure as F;
        match failure {
            F::Dns => Self::Dns,
            F::Connect => Self::Connect,
            F::Tls => Self::Tls,
            F::Timeout => Self::Timeout,
            F::Reset => Self::Reset,
            F::Protocol => Self::Protocol,
            F::Overload => Self::Overload,
            F::NoEndpoint => Self::NoEndpoint,
            F::Cancelled => Self::Cancelled,
            F::Other => Self::Other,
        }
    }
}

/// The phases of a manifest with their names, in the order of an exchange.
const NAMES: [(Phases, &str); 7] = [
    (Phases::REQUEST_HEADERS, "request_headers"),
    (Phases::REQUEST_BODY, "request_body"),
    (Phases::RESPONSE_HEADERS, "response_headers"),
    (Phases::RESPONSE_BODY, "response_body"),
    (Phases::UPSTREAM_FAILURE, "upstream_failure"),
    (Phases::LOG, "log"),
    (Phases::TICK, "tick"),
];

/// The names of the phases in a manifest, in the order of an exchange; for reports.
pub fn phase_names(phases: Phases) -> Vec<&'static str> {
    NAMES.iter().filter(|(flag, _)| phases.contains(*flag)).map(|(_, name)| *name).collect()
}

/// The phases with these names.
pub(super) fn phases_of(names: &[String]) -> Phases {
    let known = NAMES.iter().filter(|(_, name)| names.iter().any(|wanted| wanted == name));
    known.fold(Phases::empty(), |all, (flag, _)| all | *flag)
}
