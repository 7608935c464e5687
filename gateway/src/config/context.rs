//! What a walk over the tree carries, and what a type of values is to it.

use std::path::Path;

use serde_json::Value;

use super::contents::Contents;
use super::error::ConfigError;
use super::places::Places;
use super::tree::{Kind, Node, Position};

/// What a walk over the tree collects.
pub(super) struct Context<'a> {
    /// The config file, for messages.
    pub(super) file: &'a Path,
    /// Its directory: relative paths start there.
    pub(super) directory: &'a Path,
    /// The environment, for secrets.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    /// What is wrong.
    pub(super) errors: Vec<ConfigError>,
    /// What is odd.
    pub(super) warnings: Vec<ConfigError>,
    /// Files that the config names, existing or not, and what is in them.
    pub(super) contents: Contents,
    /// Where things stand that can turn out wrong later.
    pub(super) places: Places,
    /// What routes name, collected here so that it is checked also when something else is wrong with the route.
    pub(super) names: RouteNames,
    /// Secrets that are values of header fields which the gateway itself sends.
    pub(super) sent_secrets: Vec<Placed<String>>,
}

/// Names in routes, with their places.
#[derive(Default)]
pub(super) struct RouteNames {
    /// The routes' own.
    pub(super) routes: Vec<Placed<String>>,
    /// Upstreams that they forward to.
    pub(super) upstreams: Vec<Placed<String>>,
    /// Plugins of their chains.
    pub(super) plugins: Vec<Placed<String>>,
    /// Where each route with an audit trail declares it, and the upstream that it forwards to.
    pub(super) audited: Vec<(Position, Option<Placed<String>>)>,
    /// Routes that conditions of access logs name.
    pub(super) logged_routes: Vec<Placed<String>>,
    /// Where they say how they are traced.
    pub(super) traced: Vec<Position>,
}

impl Context<'_> {
    /// Notes a mistake.
    pub(super) fn error(&mut self, position: Position, message: impl Into<String>) {
        self.errors.push(ConfigError::new(self.file, position, message));
    }

    /// Notes an oddity.
    pub(super) fn warn(&mut self, position: Position, message: impl Into<String>) {
        self.warnings.push(ConfigError::new(self.file, position, message));
    }
}

/// The type of a value: how it is read, and how the schema describes it.
pub(super) trait Type {
    /// What comes out.
    type Value;
    /// Reads a node. `None` means that an error was noted.
    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Self::Value>;
    /// The JSON Schema of the values.
    fn schema(&self) -> Value;
}

/// Reads a node, unless its error is already noted.
pub(super) fn parse<T: Type>(kind: &T, node: &Node, context: &mut Context<'_>) -> Option<T::Value> {
    match node.kind {
        Kind::Failed => None,
        _ => kind.parse(node, context),
    }
}

/// What stands under names that the operator chose.
pub(super) type Keyed<T> = [(Placed<String>, Option<T>)];

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    /// Where it stands.
    pub(super) position: Position,
    /// The value.
    pub(super) value: T,
    /// As it stands in the file, for messages: without what came from the environment.
    pub(super) shown: String,
}
