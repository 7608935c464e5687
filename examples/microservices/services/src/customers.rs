//! Customers: answers full of personal data. All of it is synthetic: the fødselsnummer are test vectors that belong
//! to nobody, and the domains are reserved for examples.

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::serve::{self, Answer, Service};
use crate::trace::Trace;

/// The service.
pub(crate) struct Customers;

impl Service for Customers {
    const NAME: &str = "customers";

    async fn answer(&self, request: &Parts, _: &[u8], _: &Trace) -> Answer {
        match (&request.method, request.uri.path()) {
            (&Method::GET, "/customers/1" | "/customers/kari@example.no") => serve::json(StatusCode::OK, &customer()),
            (&Method::GET, "/customers") => serve::json(StatusCode::OK, &json!({"customers": [customer()]})),
            _ => serve::text(StatusCode::NOT_FOUND, "no such customer\n"),
        }
    }
}

fn customer() -> Value {
    json!({
        "id": 1,
        "name": "Kari Nordmann",
        "email": "kari@example.no",
        "phone": "+47 912 34 567",
        "national_id": "02013299997",
        "account": "1234.56.78903",
        "note": "Ring +4791234567 eller skriv til kari.nordmann@example.org",
    })
}
