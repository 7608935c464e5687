//! Orders: a list that grows by POST, a look at what the gateway tells a service about the caller, and a question to the
//! inventory service.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::serve::{self, Answer, Service};
use crate::trace::Trace;

/// How many orders are remembered.
const MAX_ORDERS: usize = 1000;

/// The service.
pub(crate) struct Orders {
    placed: Mutex<Vec<Value>>,
    /// Where the inventory service is.
    inventory: Option<SocketAddr>,
}

impl Orders {
    /// One that asks the inventory service here what is in stock.
    pub(crate) const fn new(inventory: Option<SocketAddr>) -> Self {
        Self { placed: Mutex::new(Vec::new()), inventory }
    }

    fn list(&self) -> Answer {
        let placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        serve::json(StatusCode::OK, &json!({"orders": *placed}))
    }

    fn place(&self, body: &[u8]) -> Answer {
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        match serde_json::from_slice(body) {
            Ok(order) if placed.len() < MAX_ORDERS => {
                placed.push(order);
                serve::json(StatusCode::CREATED, &json!({"number": placed.len()}))
            }
            Ok::<Value, _>(_) => serve::text(StatusCode::INSUFFICIENT_STORAGE, "no more orders\n"),
            Err(_) => serve::text(StatusCode::BAD_REQUEST, "an order is JSON\n"),
        }
    }

    /// What the inventory service says of an item, as a part of the same trace.
    async fn stock(&self, item: &str, trace: &Trace) -> Answer {
        let Some(inventory) = self.inventory else {
            return serve::text(StatusCode::NOT_FOUND, "nobody is there to ask\n");
        };
        match trace.get("inventory", inventory, &format!("/inventory/{item}")).await {
            Ok(body) => match serde_json::from_slice::<Value>(&body) {
                Ok(stock) => serve::json(StatusCode::OK, &stock),
                Err(_) => serve::text(StatusCode::BAD_GATEWAY, "the inventory service did not answer with JSON\n"),
            },
            Err(_) => serve::text(StatusCode::BAD_GATEWAY, "the inventory service did not answer\n"),
        }
    }
}

impl Service for Orders {
    const NAME: &str = "orders";

    async fn answer(&self, request: &Parts, body: &[u8], trace: &Trace) -> Answer {
        let path = request.uri.path();
        match (&request.method, path) {
            (&Method::GET, "/orders") => self.list(),
            (&Method::POST, "/orders") => self.place(body),
            (&Method::GET, "/orders/seen") => serve::json(StatusCode::OK, &serve::seen(request)),
            (&Method::GET, _) => match path.strip_prefix("/orders/stock/") {
                Some(item) => self.stock(item, trace).await,
                None => serve::text(StatusCode::NOT_FOUND, "no such order\n"),
            },
            _ => serve::text(StatusCode::NOT_FOUND, "no such order\n"),
        }
    }
}
