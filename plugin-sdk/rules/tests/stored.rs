//! What may be kept, and who gets it: by vectors, and by what no combination of fields may come to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime};

use plugin_rules::fields::Fields;
use plugin_rules::stored::{Edit, Key, Readers, Refusal, Request, caller, storable};
use proptest::prelude::*;

type FieldList = Vec<(String, Vec<u8>)>;

const TTL: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Asked {
    fields: FieldList,
    /// With who changed it: the plugin that named the principal, or another one.
    edits: Vec<(String, Vec<u8>, bool)>,
    credential: Option<&'static str>,
}

impl Request for Asked {
    fn is_get(&self) -> bool {
        true
    }

    fn fields(&self) -> &impl Fields {
        &self.fields
    }

    fn edits(&self) -> impl Iterator<Item = Edit<'_, impl Iterator<Item = &[u8]> + Clone>> {
        self.edits.iter().map(|(name, sent, by_namer)| Edit {
            name,
            sent: (!sent.is_empty()).then_some(sent.as_slice()).into_iter(),
            by_namer: *by_namer,
        })
    }

    fn is_named_credential(&self, name: &str) -> bool {
        self.credential == Some(name)
    }
}

fn fields(of: &[(&str, &str)]) -> FieldList {
    of.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn pairs(of: &serde_json::Value) -> FieldList {
    let pairs = of.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().into())).collect()
}

fn kept(asked: &Asked, status: u16, response: &FieldList, readers: Readers<'_>) -> Result<Duration, Refusal> {
    storable(asked, (status, response), (readers, true), TTL, SystemTime::now())
}

fn decide(request: &[(&str, &str)], response: &[(&str, &str)], readers: Readers<'_>) -> Result<Duration, Refusal> {
    let asked = Asked { fields: fields(request), ..Asked::default() };
    kept(&asked, 200, &fields(response), readers)
}

#[test]
fn vectors_hold() {
    let vectors: Vec<serde_json::Value> = serde_json::from_str(include_str!("stored.json")).unwrap();
    for vector in vectors {
        let asked = Asked {
            fields: pairs(&vector["request"]),
            edits: pairs(&vector["taken"]).into_iter().map(|(name, sent)| (name, sent, false)).collect(),
            credential: None,
        };
        let readers = match vector["readers"].as_str() {
            Some("all") => Readers::All,
            Some("principal") => Readers::Principal("alice"),
            _ => Readers::Unnamed,
        };
        let unmarked = vector["unmarked"] == true;
        let response = pairs(&vector["response"]);
        let ttl = storable(&asked, (200, &response), (readers, unmarked), TTL, SystemTime::now()).ok();
        assert_eq!(ttl.map(|ttl| ttl.as_secs()), vector["seconds"].as_u64(), "{}", vector["name"]);
    }
}

#[test]
fn what_rfc_9111_section_3_forbids_is_refused() {
    let alice = Readers::Principal("alice");
    for (field, value, refusal) in [
        ("set-cookie", "a=b", Refusal::SetCookie),
        ("cache-control", "max-age=9, Private", Refusal::CacheControl),
        ("cache-control", "private=\"x\"", Refusal::CacheControl),
        ("cache-control", "no-store", Refusal::CacheControl),
        ("cache-control", "no-cache", Refusal::CacheControl),
        ("cache-control", "æ", Refusal::CacheControl),
        ("vary", "accept, *", Refusal::Vary),
        ("vary", "a b", Refusal::Vary),
        ("vary", "a,b,c,d,e,f,g,h,i", Refusal::Vary),
        ("content-range", "bytes 0-1/9", Refusal::Partial),
        ("cache-control", "must-revalidate", Refusal::Stale),
    ] {
        assert_eq!(decide(&[], &[(field, value)], alice), Err(refusal), "{field}: {value}");
    }
    assert_eq!(decide(&[("cache-control", "no-store")], &[], Readers::All), Err(Refusal::CacheControl));
    for status in [206, 500, 302] {
        assert_eq!(kept(&Asked::default(), status, &fields(&[]), Readers::All), Err(Refusal::Status));
    }
    let forever = [("cache-control", "must-revalidate, max-age=99999999999999999999999")];
    assert_eq!(decide(&[], &forever, Readers::Unnamed), Ok(TTL), "more than can be held is a long time, not none");
}

#[test]
fn a_date_that_is_missing_is_the_time_of_the_decision() {
    let response = fields(&[("expires", "Sun, 06 Nov 1994 08:49:37 GMT")]);
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let decide = |now| storable(&Asked::default(), (200, &response), (Readers::Unnamed, false), TTL, now);
    assert_eq!(decide(at(784_111_776)), Ok(TTL));
    assert_eq!(decide(at(784_111_777)), Err(Refusal::Stale));
}

#[test]
fn one_principals_callers_are_kept_apart_by_the_credentials_that_the_principal_does_not_stand_for() {
    let of = |name: &str, value: &str, by_namer| {
        let asked = Asked { edits: vec![(name.to_owned(), value.into(), by_namer)], ..Asked::default() };
        caller(&asked, Readers::Principal("service"))
    };
    assert_eq!(of("authorization", "a", true), of("authorization", "b", true), "a token that was renewed");
    assert_ne!(of("authorization", "a", false), of("authorization", "b", false), "another plugin took it off");
    let there = |value: &str| {
        let asked = Asked { fields: fields(&[("cookie", value), ("accept", "x")]), ..Asked::default() };
        (caller(&asked, Readers::Principal("service")), caller(&asked, Readers::Unnamed), caller(&asked, Readers::All))
    };
    assert_ne!(there("a").0, there("b").0);
    assert_eq!((there("a").1, there("a").2), (None, None));
}

#[test]
fn a_field_that_the_operator_names_is_a_credential() {
    let asked = |credential| Asked { fields: fields(&[("x-lane", "alice")]), credential, ..Asked::default() };
    let decide = |credential| kept(&asked(credential), 200, &fields(&[]), Readers::Unnamed);
    assert_eq!(decide(Some("x-lane")), Err(Refusal::Credentials));
    assert_eq!(decide(None), Ok(TTL));
    assert!(caller(&asked(Some("x-lane")), Readers::Principal("service")).is_some());
}

#[test]
fn no_part_of_a_key_poses_as_another() {
    let key = |readers, plugin| {
        let (entry, scheme, authority, target) = ("e", "https", "a.example", "/t");
        Key { entry, scheme, authority, target, readers, caller: None, plugin }.join()
    };
    let alices = key(Readers::Principal("alice"), "k");
    for other in [
        key(Readers::Principal("bob"), "k"),
        key(Readers::Unnamed, "k"),
        key(Readers::All, "k"),
        key(Readers::Principal("*"), "k"),
        key(Readers::Unnamed, "5:alice;k"),
    ] {
        assert_ne!(alices, other);
    }
}

proptest! {
    /// No combination of fields gets a Set-Cookie, private or no-store response in.
    #[test]
    fn never_stores_what_is_personal(
        control in "(public|max-age=5|, | |PRIVATE|no-store|s-maxage=9){0,5}", cookie in any::<bool>(), bound in any::<bool>(),
    ) {
        let mut fields = vec![("cache-control", control.as_str())];
        if cookie { fields.push(("set-cookie", "a=b")); }
        let forbidden = cookie || control.split(',').map(str::trim).any(|d| d == "PRIVATE" || d == "no-store");
        let readers = if bound { Readers::Principal("alice") } else { Readers::Unnamed };
        prop_assert!(!(forbidden && decide(&[], &fields, readers).is_ok()));
    }
}
