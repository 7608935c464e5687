//! Responses before the response (RFC 9110 section 15.2) pass the route's changes as well: what a route takes off must not leak
//! through them. Plugins don't see them.

use std::rc::Rc;

use http::StatusCode;

use crate::exchange::{SharedExchange, header_edits};
use crate::message::{FieldMap, Interim, WriteInterim};
use crate::serving::{Completion, RouteHandle};

/// The way of an exchange's interim responses to its client.
pub(super) fn way(completion: &Completion, exchange: &SharedExchange) -> Interim {
    let to = completion.interim.clone();
    match &completion.route {
        Some(route) if to.is_supported() && !route.config.response_headers.is_empty() => {
            Interim::to(Rc::new(Edited { to, route: route.clone(), exchange: exchange.clone() }))
        }
        _ => to,
    }
}

struct Edited {
    to: Interim,
    route: Rc<RouteHandle>,
    exchange: SharedExchange,
}

impl WriteInterim for Edited {
    fn write(&self, status: StatusCode, mut fields: FieldMap) -> bool {
        // While a plugin has the exchange nobody can say what the values are: it is not sent then.
        if let Some(guard) = self.exchange.try_lock()
            && let Some(exchange) = guard.as_deref()
        {
            header_edits::edit(&mut fields, &self.route.config.response_headers, exchange);
            drop(guard);
            return self.to.send(status, fields);
        }
        true
    }
}
