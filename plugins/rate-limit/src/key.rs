//! The bucket that a request is counted in.

use std::net::IpAddr;

use crate::config::{Limit, Missing, Part};

/// What a key can be made of; the glue reads it from the exchange, tests from a list.
pub trait Source {
    /// The client's address.
    fn client(&self) -> Option<IpAddr>;
    /// All values of a request header, none where there is no such field.
    fn header(&self, name: &str) -> Vec<Vec<u8>>;
    /// An attribute of the exchange.
    fn attribute(&self, name: &str) -> Option<String>;
    /// The route's name.
    fn route(&self) -> Option<String>;
    /// A short digest, so that no value of a request is kept as a key.
    fn digest(&self, value: &[u8]) -> String;
}

/// The bucket for this request; `None`: the limit doesn't hold for it.
pub fn bucket(limit: &Limit, of: &impl Source) -> Option<String> {
    let mut key = limit.name.clone();
    for part in &limit.by {
        // A letter per kind keeps a header's value from posing as a claim's; digests and addresses hold no `|`.
        let value = match part {
            Part::Client => Some(client(limit, of)),
            Part::Header(name) => {
                let values = of.header(name);
                (!values.is_empty()).then(|| format!("|h{}", of.digest(&values.join(&b'\n'))))
            }
            Part::Claim(name) => {
                of.attribute(&format!("claim.{name}")).map(|value| format!("|c{}", of.digest(value.as_bytes())))
            }
            Part::Principal => of.attribute("principal").map(|value| format!("|p{}", of.digest(value.as_bytes()))),
            Part::Route => Some(format!("|r{}", of.route().unwrap_or_default())),
        };
        match (value, limit.missing) {
            (Some(value), _) => key.push_str(&value),
            (None, Missing::Skip) => return None,
            (None, Missing::Shared) => key.push_str("|-"),
            (None, Missing::Client) => key.push_str(&client(limit, of)),
        }
    }
    Some(key)
}

fn client(limit: &Limit, of: &impl Source) -> String {
    match of.client().map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => format!("|a{address}"),
        // A client has the whole prefix: with an address per request it would have a bucket per request.
        Some(IpAddr::V6(address)) => {
            let shift = 128 - u32::from(limit.ipv6_prefix);
            let bits = u128::from(address).checked_shr(shift).unwrap_or(0).checked_shl(shift).unwrap_or(0);
            format!("|a{}", std::net::Ipv6Addr::from(bits))
        }
        None => "|a-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Request {
        client: &'static str,
        header: Option<&'static str>,
        claim: Option<&'static str>,
    }

    impl Source for Request {
        fn client(&self) -> Option<IpAddr> {
            self.client.parse().ok()
        }

        fn header(&self, name: &str) -> Vec<Vec<u8>> {
            assert_eq!(name, "x-tenant");
            self.header.iter().map(|value| value.as_bytes().to_vec()).collect()
        }

        fn attribute(&self, name: &str) -> Option<String> {
            (name == "claim.sub").then(|| self.claim.map(str::to_owned)).flatten()
        }

        fn route(&self) -> Option<String> {
            Some("inventory".to_owned())
        }

        fn digest(&self, value: &[u8]) -> String {
            format!("<{}>", value.len())
        }
    }

    fn limit(by: &[Part], missing: Missing) -> Limit {
        let per = Duration::from_secs(1);
        Limit { name: "l".to_owned(), requests: 1, per, burst: 1, by: by.to_vec(), cost: 1, ipv6_prefix: 64, missing }
    }

    fn of(by: &[Part], missing: Missing, request: &Request) -> Option<String> {
        bucket(&limit(by, missing), request)
    }

    #[test]
    fn ipv6_addresses_of_a_prefix_are_one_client_and_mapped_ones_are_ipv4() {
        let key = |client| of(&[Part::Client], Missing::Client, &Request { client, ..Request::default() }).unwrap();
        assert_eq!(key("2001:db8:1:2:3::4"), key("2001:db8:1:2:ffff::"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn kinds_are_kept_apart_and_values_are_not_in_the_key() {
        let request = Request { client: "192.0.2.1", header: Some("alice"), claim: Some("alice") };
        let header = of(&[Part::Header("x-tenant".to_owned())], Missing::Client, &request).unwrap();
        let claim = of(&[Part::Claim("sub".to_owned())], Missing::Client, &request).unwrap();
        assert_ne!(header, claim);
        assert!(!header.contains("alice") && !claim.contains("alice"));
        let both = of(&[Part::Route, Part::Claim("sub".to_owned())], Missing::Client, &request).unwrap();
        assert_eq!(both, "l|rinventory|c<5>");
    }

    #[test]
    fn a_missing_part_is_treated_as_configured() {
        let request = Request { client: "192.0.2.1", ..Request::default() };
        let by = [Part::Header("x-tenant".to_owned())];
        assert_eq!(of(&by, Missing::Skip, &request), None);
        assert_eq!(of(&by, Missing::Shared, &request).as_deref(), Some("l|-"));
        assert_eq!(of(&by, Missing::Client, &request).as_deref(), Some("l|a192.0.2.1"));
    }
}
