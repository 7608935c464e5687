//! Orders: a list that grows by POST, and a look at what the gateway tells a service about the caller.

use std::sync::{Mutex, PoisonError};

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::serve::{self, Answer, Service};

/// How many orders are remembered.
const MAX_ORDERS: usize = 1000;

/// The service.
#[derive(Default)]
pub(crate) struct Orders {
    placed: Mutex<Vec<Value>>,
}

impl Service for Orders {
    fn answer(&self, request: &Parts, body: &[u8]) -> Answer {
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        match (&request.method, request.uri.path()) {
            (&Method::GET, "/orders") => serve::json(StatusCode::OK, &json!({"orders": *placed})),
            (&Method::POST, "/orders") => match serde_json::from_slice(body) {
                Ok(order) if placed.len() < MAX_ORDERS => {
                    placed.push(order);
                    serve::json(StatusCode::CREATED, &json!({"number": placed.len()}))
                }
                Ok::<Value, _>(_) => serve::text(StatusCode::INSUFFICIENT_STORAGE, "no more orders\n"),
                Err(_) => serve::text(StatusCode::BAD_REQUEST, "an order is JSON\n"),
            },
            (&Method::GET, "/orders/seen") => serve::json(StatusCode::OK, &serve::seen(request)),
            _ => serve::text(StatusCode::NOT_FOUND, "no such order\n"),
        }
    }
}
