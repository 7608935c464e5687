//! Configuration: YAML text → positioned tree → [`model::Config`](crate::model::Config), with every mistake reported at once.
//!
//! `yaml` reads the text, fills in the environment and keeps positions. The other files declare one section each, by
//! the means of `fields`: key, type, default and description stand in one place, from which come the parser, the
//! messages about unknown keys and [`schema()`]. What spans sections (names that have to exist) is in `resolve`.

mod access_log;
mod audit;
mod collector;
mod contents;
mod context;
mod diff;
mod drain;
mod error;
mod fields;
mod json;
mod listener;
mod load;
mod metrics;
mod names;
mod places;
mod plugin;
mod reach;
mod resolve;
mod route;
mod schema;
mod secrecy;
mod sections;
mod settings;
mod template;
#[cfg(test)]
mod tests;
mod tracing;
mod tree;
mod types;
mod upstream;
mod value;
mod yaml;

pub use contents::Contents;
pub use diff::{Diff, SocketChanges, diff};
pub(crate) use error::nearest;
pub use error::{ConfigError, ConfigErrors};
pub use load::{Loaded, load, parse, parse_all};
pub(crate) use names::name;
pub use places::Places;
pub use schema::schema;
