//! From the trait to the component's exports.

use std::cell::{Cell, RefCell};

use crate::bindings::edge::gateway::http::Exchange as RawExchange;
use crate::bindings::edge::gateway::types as wit;
use crate::{Phases, Plugin, Traits};

pub use crate::bindings::exports::edge::gateway::handler::Guest;

/// Makes a type that implements [`Plugin`] the plugin of this crate. Name and version are the crate's.
///
/// The crate needs `crate-type = ["cdylib", "rlib"]`: the one for the gateway, the other for its tests.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            struct Component;

            ::std::thread_local! {
                static PLUGIN: $crate::__private::Slot<$plugin> = const { $crate::__private::Slot::new() };
            }

            impl $crate::__private::PluginGuest for Component {
                type Plugin = $plugin;
                const NAME: &'static str = ::core::env!("CARGO_PKG_NAME");
                const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");

                fn with<R>(work: impl ::core::ops::FnOnce(&$crate::__private::Slot<$plugin>) -> R) -> R {
                    PLUGIN.with(work)
                }
            }

            // Natively nobody calls the exports, and a linker for another system chokes on their names.
            #[cfg(not(target_arch = "wasm32"))]
            const _: () = $crate::__private::check::<Component>();
            #[cfg(target_arch = "wasm32")]
    $crate::__private::bindings::export_component!(Component with_types_in $crate::__private::bindings);
        };
    };
}

/// Where an instance keeps its plugin.
pub struct Slot<P>(RefCell<Option<P>>);

impl<P> Slot<P> {
    /// Not configured yet.
    #[allow(clippy::new_without_default, reason = "only the macro makes one, in a constant")]
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }
}

/// What [`export!`] fills in.
pub trait PluginGuest {
    /// The plugin.
    type Plugin: Plugin;
    /// The crate's name.
    const NAME: &'static str;
    /// The crate's version.
    const VERSION: &'static str;

    /// Works on the instance's slot.
    fn with<R>(work: impl FnOnce(&Slot<Self::Plugin>) -> R) -> R;
}

/// Makes a native build check what a wasm build exports.
pub const fn check<G: Guest>() {}

thread_local! {
    static HOOKED: Cell<bool> = const { Cell::new(false) };
}

/// A panic ends the instance, and its text with it, unless it is written before.
fn report_panics() {
    if cfg!(target_arch = "wasm32") && !HOOKED.replace(true) {
        std::panic::set_hook(Box::new(|panic| {
            let text = panic.payload_as_str().unwrap_or("a panic without a text");
            let message = match panic.location() {
                Some(place) => format!("panicked at {}:{}:{}: {text}", place.file(), place.line(), place.column()),
                None => format!("panicked: {text}"),
            };
            crate::raw::sys::log(crate::log::Level::Error, &message);
        }));
    }
}

#[cfg(target_arch = "wasm32")]
fn view(of: &RawExchange, traits: Traits) -> crate::Exchange<'_> {
    crate::Exchange::new(crate::raw::Handle::new(of), traits)
}

/// Natively the component's exports exist, so that the same code compiles, but nobody calls them.
#[cfg(not(target_arch = "wasm32"))]
fn view(_: &RawExchange, _: Traits) -> crate::Exchange<'_> {
    unreachable!("the component's exports are called on wasm32 only")
}

/// A plugin of this SDK has no place for a body's state but the exchange.
fn attributes(grants_are_optional: bool) -> Vec<(String, String)> {
    let mut attributes = vec![("stream-state", "exchange")];
    if grants_are_optional {
        attributes.push(("grants", "optional"));
    }
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn run<G: PluginGuest, R>(phase: impl FnOnce(&G::Plugin) -> R) -> R {
    crate::log::forget_level();
    G::with(|slot| match &*slot.0.borrow() {
        Some(plugin) => phase(plugin),
        None => panic!("the plugin was called before it was configured"),
    })
}

impl<G: PluginGuest + 'static> Guest for G {
    fn describe() -> wit::Manifest {
        let (phases, traits) = (G::Plugin::PHASES, G::Plugin::TRAITS);
        let mut flags = wit::Phases::empty();
        for (phase, flag) in [
            (Phases::REQUEST_HEADERS, wit::Phases::REQUEST_HEADERS),
            (Phases::REQUEST_BODY, wit::Phases::REQUEST_BODY),
            (Phases::RESPONSE_HEADERS, wit::Phases::RESPONSE_HEADERS),
            (Phases::RESPONSE_BODY, wit::Phases::RESPONSE_BODY),
            (Phases::UPSTREAM_FAILURE, wit::Phases::UPSTREAM_FAILURE),
            (Phases::LOG, wit::Phases::LOG),
        ] {
            if phases.contains(phase) {
                flags = flags | flag;
            }
        }
        wit::Manifest {
            name: G::NAME.to_owned(),
            version: G::VERSION.to_owned(),
            phases: flags,
            traits: if traits.authenticator { wit::Traits::AUTHENTICATOR } else { wit::Traits::empty() },
            attributes: attributes(G::Plugin::GRANTS_ARE_OPTIONAL),
        }
    }

    fn configure(json: String) -> Result<(), Vec<wit::ConfigError>> {
        report_panics();
        crate::log::forget_level();
        let plugin = crate::parse_config(&json).and_then(G::Plugin::configure).map_err(|errors| {
            let errors = errors.into_iter();
            errors.map(|error| wit::ConfigError { pointer: error.pointer, message: error.message }).collect::<Vec<_>>()
        })?;
        G::with(|slot| *slot.0.borrow_mut() = Some(plugin));
        Ok(())
    }

    fn on_request_headers(of: RawExchange, end: bool) -> wit::RequestAction {
        run::<G, _>(|plugin| plugin.on_request_headers(&view(&of, G::Plugin::TRAITS), end)).into()
    }

    fn on_request_body(of: RawExchange, data: Vec<u8>, end: bool) -> wit::ChunkAction {
        run::<G, _>(|plugin| plugin.on_request_body(&view(&of, G::Plugin::TRAITS).of_chunk(end), data, end)).into()
    }

    fn on_response_headers(of: RawExchange, end: bool) -> wit::ResponseAction {
        run::<G, _>(|plugin| plugin.on_response_headers(&view(&of, G::Plugin::TRAITS), end)).into()
    }

    fn on_response_body(of: RawExchange, data: Vec<u8>, end: bool) -> wit::ChunkAction {
        run::<G, _>(|plugin| plugin.on_response_body(&view(&of, G::Plugin::TRAITS).of_chunk(end), data, end)).into()
    }

    fn on_upstream_failure(of: RawExchange, failed: wit::Failure) -> wit::FailureAction {
        run::<G, _>(|plugin| plugin.on_upstream_failure(&view(&of, G::Plugin::TRAITS), failed)).into()
    }

    fn on_log(of: RawExchange) {
        run::<G, _>(|plugin| plugin.on_log(&view(&of, G::Plugin::TRAITS)));
    }

    fn on_tick() {}
}
