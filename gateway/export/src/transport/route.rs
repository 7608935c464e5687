//! A collector, as requests of all kinds see it.

use std::sync::Arc;

use super::connect::Connector;
use super::tls::InvalidTls;
use crate::endpoint::Endpoint;
use crate::settings::Settings;

/// What requests say that they come from.
pub(super) const USER_AGENT: &str = concat!("telemetry-export/", env!("CARGO_PKG_VERSION"));

/// What the requests of all signals to a collector have in common.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    settings: Arc<Settings>,
    pub(super) connector: Connector,
}

impl Route {
    pub(crate) fn new(settings: Arc<Settings>) -> Result<Self, InvalidTls> {
        let connector = Connector::new(&settings)?;
        Ok(Self { settings, connector })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.settings.endpoint
    }
}
