//! Write plugins for the gateway in Rust.
//!
//! A plugin is a type that implements [`Plugin`] and is named in [`export!`]. It is built for
//! `wasm32-unknown-unknown` and dropped into the gateway's plugin directory; `cargo test` runs it natively against a
//! [`testing::TestHost`].
//!
//! ```
//! use plugin_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     value: String,
//! }
//!
//! struct Hello(Config);
//!
//! #[plugin]
//! impl Plugin for Hello {
//!     type Config = Config;
//!
//!     fn configure(config: Config) -> Result<Self, ConfigErrors> {
//!         Ok(Self(config))
//!     }
//!
//!     fn on_response_headers(&self, exchange: &Exchange, _end: bool) -> ResponseAction {
//!         exchange.response().set_header("x-hello", &self.0.value).ok();
//!         ResponseAction::next()
//!     }
//! }
//!
//! plugin_sdk::export!(Hello);
//! # fn main() {
//! use plugin_sdk::testing::*;
//! let host = TestHost::new();
//! let plugin = host.configure::<Hello>(json!({"value": "world"})).unwrap();
//! assert_eq!(plugin.0.value, "world");
//! # }
//! ```
//!
//! Calls to the host are dispatched statically: on wasm32 straight to the generated imports, natively to the test
//! host. What a plugin doesn't use is not in its import list, and so needs no grant.

#[allow(unsafe_code, missing_docs, unused_qualifications, unreachable_pub, clippy::all)]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        world: "plugin",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "plugin_sdk::__private::bindings",
        runtime_path: "::plugin_sdk::__private::wit_bindgen::rt",
    });
}

// The export macro names this crate by its own name, also from inside of it.
extern crate self as plugin_sdk;

mod action;
mod config;
mod duration;
mod exchange;
mod export;
mod fields;
mod form;
#[cfg(feature = "http")]
mod http_types;
mod plugin;
mod raw;
mod stream;

pub mod audit;
pub mod calls;
pub mod counters;
pub mod crypto;
pub mod encoding;
pub mod kv;
pub mod lines;
pub mod log;
pub mod metrics;
pub mod random;
pub mod secrets;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;
pub mod trace;

#[cfg(feature = "http")]
pub use ::http;
pub use action::{BodyMode, ChunkAction, FailureAction, HeadersAction, LocalResponse, RequestAction, ResponseAction};
pub use config::{ConfigError, ConfigErrors, one_or_many, parse_config};
pub use duration::ConfigDuration;
pub use exchange::{Exchange, Request, Response};
pub use fields::{FieldError, Fields, Repeated, TooLarge, is_header_value};
pub use plugin::{Failure, Phases, Plugin, Traits};
pub use plugin_sdk_macros::plugin;
pub use serde_json;
pub use stream::Stream;

/// What nearly every plugin needs.
pub mod prelude {
    pub use crate::{
        BodyMode, ChunkAction, ConfigErrors, Exchange, Failure, FailureAction, LocalResponse, Phases, Plugin,
        RequestAction, ResponseAction, Traits, is_header_value, log, plugin, serde_json,
    };
    pub use serde::{Deserialize, Serialize};
}

/// For the macros of this crate only.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::export::{Guest, PluginGuest, Slot, check};
    pub use crate::plugin::{DERIVED, Derived};
    pub use wit_bindgen;
}
