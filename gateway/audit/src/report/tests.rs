//! Reports of a small ledger.

use super::breach::breach;
use super::processing::processing;
use super::*;
use crate::samples;
use crate::vocabulary::{Action, Outcome};

/// Three exchanges of Kari to Norway and two of Ola to Germany with masked cards, one of which has an address that passed, and one
/// that has not ended.
fn ledger() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let ledger = samples::open(samples::settings(directory.path()));
    samples::write(&ledger, 5);
    let notes = [samples::note("email", Action::Pass), samples::note("card", Action::Mask)];
    let [opening, closing] = samples::exchange(5, "ola", "mail", "DE", &notes);
    let [unended, _] = samples::exchange(6, "kari", "mail", "DE", &[]);
    for entry in [opening, closing, unended] {
        samples::run(ledger.append(entry)).unwrap();
    }
    ledger.close();
    directory
}

#[test]
fn the_record_of_processing_says_what_article_30_asks_for() {
    let directory = ledger();
    let report = processing(directory.path(), Span::default()).unwrap();
    let [germany, norway] = report.activities.as_slice() else { panic!("{report:#?}") };
    let (germany, norway) =
        if germany.recipient.as_ref().unwrap().name.as_str() == "mail" { (germany, norway) } else { (norway, germany) };
    assert_eq!(norway.route.purpose.as_str(), "order handling");
    assert_eq!((norway.exchanges, norway.subjects, norway.open), (3, 1, 0));
    assert_eq!((germany.exchanges, germany.subjects, germany.open), (4, 2, 1));
    assert_eq!(germany.outcomes.get(&Outcome::Complete), Some(&3));
    let counted = |activity: &processing::Activity| -> Vec<(String, Action, u64)> {
        let counted = activity.categories.iter();
        counted.map(|counted| (counted.category.as_str().to_owned(), counted.action, counted.exchanges)).collect()
    };
    assert_eq!(counted(norway), [("card".to_owned(), Action::Mask, 3)]);
    assert_eq!(counted(germany), [("card".to_owned(), Action::Mask, 3), ("email".to_owned(), Action::Pass, 1)]);
    let span = Span { from: Some(samples::time(100)), to: None };
    assert_eq!(processing(directory.path(), span).unwrap().activities, []);
}

#[test]
fn the_extract_for_a_breach_says_whose_data_went_where() {
    let directory = ledger();
    let report = breach(directory.path(), Span::default()).unwrap();
    assert_eq!((report.exchanges, report.unknown_callers, report.subjects.len()), (7, 0, 2));
    let keys = crate::layout::keys(directory.path(), &"edge-1".parse().unwrap());
    let ola = crate::subjects::store::find(&keys, &samples::caller("ola")).unwrap();
    let flows = &report.subjects.iter().find(|subject| subject.caller == ola).unwrap().flows;
    let [flow] = flows.as_slice() else { panic!("{flows:#?}") };
    assert_eq!((flow.exchanges, flow.first, flow.last), (3, samples::time(1), samples::time(5)));
    let data: Vec<_> = flow.data.iter().map(|data| (data.category.as_str(), data.disclosed)).collect();
    assert_eq!(data, [("card", false), ("email", true)]);
    let span = Span { from: Some(samples::time(1)), to: Some(samples::time(2)) };
    assert_eq!(breach(directory.path(), span).unwrap().exchanges, 1);
}
