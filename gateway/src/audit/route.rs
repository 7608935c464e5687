//! An audited route, with everything of its records that is known at load.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use ::audit::record;
use ::audit::words::Name;

use super::trail::Trail;
use super::unfinished::Unfinished;
use crate::model::{Config, Route};

/// An audited route as a worker serves it.
#[derive(Debug)]
pub struct AuditedRoute {
    pub(super) trail: Trail,
    pub(super) declared: record::Route,
    /// The names of its plugins, by their places.
    pub(super) plugins: Vec<Name>,
    /// What is declared of the upstreams that it, or a plugin, may choose.
    pub(super) upstreams: HashMap<Arc<str>, record::Upstream>,
    pub(super) unfinished: Rc<Unfinished>,
}

impl AuditedRoute {
    /// Of a route that declares an audit trail.
    pub fn new(trail: &Trail, config: &Config, route: &Route, unfinished: &Rc<Unfinished>) -> Option<Rc<Self>> {
        let declared = route.audit.as_deref()?.clone();
        // Names of the configuration have the form of names here.
        let plugins = route.plugins.iter().filter_map(|entry| entry.name.parse().ok()).collect();
        let upstream = |(name, upstream): (&Arc<str>, &Arc<crate::model::Upstream>)| {
            let data = &upstream.data;
            let declared = record::Upstream {
                controller: data.controller.clone(),
                country: data.country,
                name: name.parse().ok()?,
                region: data.region.clone(),
            };
            Some((name.clone(), declared))
        };
        let upstreams = config.upstreams.iter().filter_map(upstream).collect();
        Some(Rc::new(Self { trail: trail.clone(), declared, plugins, upstreams, unfinished: unfinished.clone() }))
    }
}
