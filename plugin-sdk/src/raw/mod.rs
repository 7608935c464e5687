//! The host's functions with the shapes of the contract: on wasm32 the generated imports, natively the test host.
//! Nothing here is a table of functions, so that what a plugin doesn't call drops out of its import list.

#[cfg(target_arch = "wasm32")]
mod guest;
#[cfg(not(target_arch = "wasm32"))]
mod native;

#[cfg(target_arch = "wasm32")]
pub(crate) use guest::*;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;
