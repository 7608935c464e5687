//! The JSON Schema of the config file, for editors (yaml-language-server) and for checks outside the gateway.

use serde_json::{Value, json};

use super::context::Type;
use super::fields::Object;
use super::sections::sections;

/// The schema, draft 2020-12. It is made from the declarations that the parser runs on, so it knows every key; what
/// spans several places (names that exist, ports that overlap) only [`super::parse`] can tell.
pub fn schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Gateway config",
        "$defs": {
            "environment": {
                "description": "Filled in from the environment.",
                "type": "string",
                "pattern": "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$",
            },
        },
    });
    if let (Value::Object(schema), Value::Object(root)) = (&mut schema, Object(sections).schema()) {
        schema.extend(root);
    }
    schema
}
