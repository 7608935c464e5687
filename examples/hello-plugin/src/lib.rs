//! The smallest plugin: adds a header to every response.

use plugin_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello {
    value: String,
}

#[plugin]
impl Plugin for Hello {
    type Config = Self;

    fn configure(config: Self) -> Result<Self, ConfigErrors> {
        let valid = is_header_value(&config.value);
        valid.then_some(config).ok_or_else(|| ConfigErrors::at("/value", "must be printable ASCII"))
    }

    fn on_response_headers(&self, exchange: &Exchange<'_>, _end: bool) -> ResponseAction {
        exchange.response().set_header("x-hello", &self.value).ok();
        ResponseAction::next()
    }
}

plugin_sdk::export!(Hello);

#[cfg(test)]
mod tests {
    use plugin_sdk::testing::*;

    use super::*;

    #[test]
    fn every_response_gets_the_header() {
        let host = TestHost::new();
        let hello: Hello = host.configure(json!({"value": "world"})).unwrap();
        let response = host.run(&hello, TestRequest::get("/")).respond(TestResponse::new(200).body("body"));
        assert_eq!((response.header("x-hello"), response.text().as_str()), (Some("world"), "body"));
    }

    #[test]
    fn mistakes_in_the_config_are_found_at_their_place() {
        for (config, pointer) in [
            (json!({"value": "a\r\nb"}), "/value"),
            (json!({"value": 1}), "/value"),
            (json!({"value": "a", "valu": "b"}), "/valu"),
            (json!({}), ""),
        ] {
            let Err(errors) = TestHost::new().configure::<Hello>(config) else { panic!("{pointer} was accepted") };
            assert_eq!(errors.iter().next().unwrap().pointer, pointer);
        }
    }
}
