//! A map of fields against a plain list of them.

use bytes::Bytes;
use http::header::{ACCEPT, COOKIE, HOST};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::list::MOST_WASTE;
use super::*;

const fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

#[test]
fn fields_are_edited_by_name_and_become_a_map() {
    let mut fields = FieldMap::default();
    fields.append(COOKIE, value("a=1"));
    fields.append(COOKIE, value("b=2"));
    fields.insert(HOST, value("a.test"));
    fields.insert(HOST, value("b.test"));
    fields.insert(ACCEPT, value("*/*"));
    assert!(fields.remove(&ACCEPT) && !fields.remove(&ACCEPT));
    assert_eq!((fields.len(), fields.is_empty(), fields.iter().count()), (3, false, 3));
    assert_eq!(fields.names().map(FieldName::expose_str).collect::<Vec<_>>(), ["cookie", "cookie", "host"]);
    assert_eq!(fields.get(HOST).unwrap(), "b.test");
    assert_eq!(fields.get_all(&COOKIE).collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert!(!fields.contains_key(ACCEPT) && fields.text("host") == "b.test");
    let mut map = fields.clone().into_map();
    FieldMap::edit(&mut map, |fields| assert!(fields.remove(HOST)));
    assert_eq!((map.len(), FieldMap::from(map).len()), (2, 2));
    fields.insert(COOKIE, value("c=3"));
    assert_eq!(fields.get_all("Cookie").collect::<Vec<_>>(), ["c=3"]);
    fields.append("host", value("c.test"));
    assert!(fields.remove("HOST"));
    assert_eq!(fields.len(), 1, "all of the name are gone");
    fields.clear();
    assert!(fields.is_empty() && !fields.may_have(KnownNames::of(&[known::COOKIE])));
}

#[test]
fn what_must_not_be_compressed_stays_so() {
    let mut secret = value("secret");
    secret.set_sensitive(true);
    let map = FieldMap::from(HeaderMap::from_iter([(ACCEPT, secret), (HOST, value("a"))])).into_map();
    assert!(map[ACCEPT].is_sensitive() && !map[HOST].is_sensitive());
}

#[test]
fn who_sets_fields_for_ever_takes_no_more_room() {
    let mut fields = FieldMap::new();
    for round in 0..100_000_usize {
        fields.insert("x-a", HeaderValue::from_str(&"a".repeat(round % 97)).unwrap());
        fields.append("x-b", HeaderValue::from(round));
        fields.remove("x-b");
    }
    assert_eq!(fields.len(), 1);
    assert!(fields.fields().added.len() <= 4 * MOST_WASTE, "{} bytes", fields.fields().added.len());
}

/// A store charges for what it keeps, and must not hold the buffer that a head came in.
#[test]
fn what_is_kept_holds_no_more_than_it_needs() {
    let mut fields = received(&[("host", "a.test".to_owned()), ("x-a", "1".to_owned())]);
    (0..100).for_each(|number| fields.append("x-b", HeaderValue::from(number)));
    fields.remove("x-b");
    let kept = fields.to_kept();
    assert_eq!(kept, fields);
    let inner = kept.fields();
    assert!(inner.received.is_empty());
    assert_eq!((inner.list.capacity(), inner.added.capacity()), (2, fields.bytes()));
}

/// One change of a map.
#[derive(Clone, Debug)]
enum Change {
    Append(&'static str, String),
    Insert(&'static str, String),
    Remove(&'static str),
    Keep(&'static str),
}

const NAMES: [&str; 5] = ["host", "x-a", "x-b", "te", "x-forwarded-for"];

fn change() -> impl Strategy<Value = Change> {
    let text = || "([!-~]([ -~]{0,40}[!-~])?)?";
    prop_oneof![
        (prop::sample::select(&NAMES[..]), text()).prop_map(|(name, value)| Change::Append(name, value)),
        (prop::sample::select(&NAMES[..]), text()).prop_map(|(name, value)| Change::Insert(name, value)),
        prop::sample::select(&NAMES[..]).prop_map(Change::Remove),
        prop::sample::select(&NAMES[..]).prop_map(Change::Keep),
    ]
}

/// The section that these lines are, read.
fn received(lines: &[(&'static str, String)]) -> FieldMap {
    let (mut text, mut fields) = (Vec::new(), ReceivedFields::new());
    for (name, value) in lines {
        let place = text.len();
        text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        let start = place + name.len() + 2;
        fields.push(FieldName::of(name.as_bytes()), place, start..start + value.len(), true);
    }
    fields.of(Bytes::from(text))
}

proptest! {
    /// Whatever is done to fields that came, they are the same as a plain list to which it is done.
    #[test]
    fn a_map_is_a_list_of_fields(
        first in prop::collection::vec((prop::sample::select(&NAMES[..]), "([!-~]([ -~]{0,9}[!-~])?)?"), 0..6),
        changes in prop::collection::vec(change(), 0..200),
    ) {
        let mut fields = received(&first);
        let mut list = first;
        for change in changes {
            match change {
                Change::Append(name, value) => {
                    fields.append(name, HeaderValue::from_str(&value).unwrap());
                    list.push((name, value));
                }
                Change::Insert(name, value) => {
                    fields.insert(name, HeaderValue::from_str(&value).unwrap());
                    match list.iter().position(|field| field.0 == name) {
                        None => list.push((name, value)),
                        Some(place) => {
                            list[place].1 = value;
                            let mut index = 0;
                            list.retain(|field| { index += 1; index <= place + 1 || field.0 != name });
                        }
                    }
                }
                Change::Remove(name) => {
                    prop_assert_eq!(fields.remove(name), list.iter().any(|field| field.0 == name));
                    list.retain(|field| field.0 != name);
                }
                Change::Keep(but) => {
                    fields.retain(|name, _| name != but);
                    list.retain(|field| field.0 != but);
                }
            }
            for name in NAMES {
                prop_assert_eq!(fields.contains_key(name), list.iter().any(|field| field.0 == name));
            }
        }
        let read: Vec<_> = fields.iter().map(|(name, value)| (name.expose_str().to_owned(), value.expose_str().unwrap().to_owned())).collect();
        let expected: Vec<_> = list.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        prop_assert_eq!(read, expected);
        let mut lines = Vec::new();
        fields.write_lines(&mut lines);
        let expected: String = list.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        prop_assert_eq!(String::from_utf8(lines).unwrap(), expected);
        prop_assert_eq!(&FieldMap::from(fields.clone().into_map()), &fields);
    }
}
