//! What plugins have added to the trace of one exchange: attributes and spans, bounded for each plugin.
//!
//! Whoever keeps it says how spans are told apart (`Id`) and what time is (`Time`), and passes both in.

use super::{MAX_ATTRIBUTES, MAX_SPANS, Value, check_attribute, check_name};
use crate::fields::FieldError;
use crate::phase::Phase;

/// An attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The place of the plugin in its chain.
    pub by: usize,
    /// Which of [`Notes::spans`] it belongs to; none: the exchange's own.
    pub span: Option<usize>,
    /// Its name, as the plugin has it.
    pub name: Box<str>,
    /// Its value.
    pub value: Value,
}

/// A span of a plugin's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span<Id, Time> {
    /// The place of the plugin in its chain.
    pub by: usize,
    /// The phase in whose call it was begun.
    pub phase: Phase,
    /// Which of [`Notes::spans`] it stands below; none: what stands for the plugin's call, or the exchange's own.
    pub parent: Option<usize>,
    /// What it is known by.
    pub id: Id,
    /// Its name.
    pub name: Box<str>,
    /// When it began.
    pub began: Time,
    /// When it ended; none while it lasts.
    pub ended: Option<Time>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Notes<Id, Time> {
    attributes: Vec<Attribute>,
    spans: Vec<Span<Id, Time>>,
    /// Spans of the running call that have not ended, the innermost last. One call at a time has the exchange.
    open: Vec<usize>,
    dropped_attributes: u32,
    dropped_spans: u32,
}

impl<Id, Time> Default for Notes<Id, Time> {
    fn default() -> Self {
        Self { attributes: Vec::new(), spans: Vec::new(), open: Vec::new(), dropped_attributes: 0, dropped_spans: 0 }
    }
}

/// How many there are, and one more where it was dropped.
fn room(there: usize, most: usize, dropped: &mut u32) -> Result<(), FieldError> {
    if there < most {
        return Ok(());
    }
    *dropped = dropped.saturating_add(1);
    Err(FieldError::TooLarge)
}

impl<Id: Copy, Time: Copy> Notes<Id, Time> {
    /// `trace.set-attribute`: of a span that [`Notes::begin`] gave the number of, or of the exchange's. The same name replaces what
    /// was there.
    ///
    /// # Errors
    /// See [`check_attribute`]; `TooLate` for a span that has ended, or was begun in another call; `TooLarge` for one more than a
    /// plugin may have, which is counted.
    pub fn set_attribute<Text: AsRef<str> + Into<Box<str>>>(
        &mut self,
        by: usize,
        to: Option<u32>,
        name: &str,
        value: Value<Text>,
    ) -> Result<(), FieldError> {
        check_attribute(name, &value)?;
        let span = to.map(|number| self.open_at(number).map(|at| self.open[at]).ok_or(FieldError::TooLate));
        let span = span.transpose()?;
        let value = match value {
            Value::Text(text) => Value::Text(text.into()),
            Value::Integer(number) => Value::Integer(number),
            Value::Real(number) => Value::Real(number),
            Value::Truth(truth) => Value::Truth(truth),
        };
        let is_same = |known: &&mut Attribute| known.by == by && known.span == span && *known.name == *name;
        if let Some(known) = self.attributes.iter_mut().find(is_same) {
            known.value = value;
            return Ok(());
        }
        let there = self.attributes.iter().filter(|known| known.by == by).count();
        room(there, MAX_ATTRIBUTES, &mut self.dropped_attributes)?;
        self.attributes.push(Attribute { by, span, name: name.into(), value });
        Ok(())
    }

    /// `trace.begin-span`: below the innermost that is open. Gives its number. `begun` makes its id, and tells the time.
    ///
    /// # Errors
    /// See [`check_name`]; `TooLarge` for one more than a plugin may have, which is counted.
    pub fn begin(
        &mut self,
        by: usize,
        phase: Phase,
        name: &str,
        begun: impl FnOnce() -> (Id, Time),
    ) -> Result<u32, FieldError> {
        check_name(name)?;
        let there = self.spans.iter().filter(|span| span.by == by).count();
        room(there, MAX_SPANS, &mut self.dropped_spans)?;
        let at = self.spans.len();
        let number = u32::try_from(at).map_err(|_| FieldError::TooLarge)?;
        let ((id, began), parent) = (begun(), self.open.last().copied());
        self.spans.push(Span { by, phase, parent, id, name: name.into(), began, ended: None });
        self.open.push(at);
        Ok(number)
    }

    /// `trace.end-span`. One that has ended, or was begun in another call, stays as it is.
    pub fn end(&mut self, number: u32, now: impl FnOnce() -> Time) {
        if let Some(at) = self.open_at(number) {
            let span = self.open.remove(at);
            self.spans[span].ended = Some(now());
        }
    }

    /// A call has ended, and so do the spans that it has not.
    pub fn end_open(&mut self, now: impl FnOnce() -> Time) {
        if !self.open.is_empty() {
            let now = now();
            for span in self.open.drain(..) {
                self.spans[span].ended = Some(now);
            }
        }
    }

    /// The innermost span that is open: what the call does now, it does below that.
    pub fn current(&self) -> Option<Id> {
        self.open.last().map(|span| self.spans[*span].id)
    }

    /// The attributes, in the order in which each was first set.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The spans, in the order in which they began.
    pub fn spans(&self) -> &[Span<Id, Time>] {
        &self.spans
    }

    /// How many attributes, and spans, were refused for want of room.
    pub const fn dropped(&self) -> (u32, u32) {
        (self.dropped_attributes, self.dropped_spans)
    }

    /// Which of the open ones has this number.
    fn open_at(&self, number: u32) -> Option<usize> {
        self.open.iter().position(|span| u32::try_from(*span) == Ok(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Noted = Notes<u64, u32>;
    const PHASE: Phase = Phase::RequestHeaders;

    #[test]
    fn a_name_has_one_value_for_each_plugin_and_span() {
        let mut notes = Noted::default();
        let span = notes.begin(0, PHASE, "work", || (1, 0)).unwrap();
        for (by, to, value) in [(0, None, 1), (0, None, 2), (0, Some(span), 3), (1, None, 4)] {
            assert_eq!(notes.set_attribute(by, to, "a.b", Value::<&str>::Integer(value)), Ok(()));
        }
        let found: Vec<_> = notes.attributes().iter().map(|known| (known.by, known.span, &known.value)).collect();
        let value = |value| Value::Integer(value);
        assert_eq!(found, [(0, None, &value(2)), (0, Some(0), &value(3)), (1, None, &value(4))]);
    }

    #[test]
    fn spans_stand_below_those_that_are_open_and_end_with_their_call() {
        let mut notes = Noted::default();
        let outer = notes.begin(0, PHASE, "outer", || (1, 10)).unwrap();
        let inner = notes.begin(0, PHASE, "inner", || (2, 11)).unwrap();
        assert_eq!(notes.current(), Some(2));
        notes.end(inner, || 12);
        notes.end(inner, || unreachable!("it has ended"));
        notes.begin(0, PHASE, "second", || (3, 13)).unwrap();
        assert_eq!(notes.current(), Some(3));
        notes.end(outer, || 14);
        notes.end_open(|| 15);
        notes.end_open(|| unreachable!("none is open"));
        assert_eq!(notes.current(), None);
        let found: Vec<_> = notes.spans().iter().map(|span| (span.parent, span.began, span.ended)).collect();
        assert_eq!(found, [(None, 10, Some(14)), (Some(0), 11, Some(12)), (Some(0), 13, Some(15))]);
        let late = notes.set_attribute(0, Some(outer), "a", Value::<&str>::Truth(true));
        assert_eq!(late, Err(FieldError::TooLate));
        assert_eq!(notes.set_attribute(0, Some(9), "a", Value::Text("b")), Err(FieldError::TooLate), "there is none");
    }

    #[test]
    fn what_is_over_is_dropped_and_counted_and_takes_no_room_from_others() {
        let mut notes = Noted::default();
        let set = |notes: &mut Noted, by, name: &str| notes.set_attribute(by, None, name, Value::Text("v"));
        for number in 0..MAX_ATTRIBUTES {
            assert_eq!(set(&mut notes, 0, &format!("a{number}")), Ok(()));
        }
        assert_eq!(set(&mut notes, 0, "more"), Err(FieldError::TooLarge));
        assert_eq!(set(&mut notes, 0, "a0"), Ok(()), "what is there is replaced");
        assert_eq!(set(&mut notes, 0, "Bad"), Err(FieldError::InvalidName), "and not counted");
        for _ in 0..MAX_SPANS {
            let span = notes.begin(0, PHASE, "s", || (1, 0)).unwrap();
            notes.end(span, || 1);
        }
        assert_eq!(notes.begin(0, PHASE, "s", || unreachable!("there is no room")), Err(FieldError::TooLarge));
        assert_eq!(notes.begin(0, PHASE, "s-", || unreachable!("no name")), Err(FieldError::InvalidName));
        assert_eq!(notes.dropped(), (1, 1));
        assert_eq!(set(&mut notes, 1, "mine"), Ok(()));
        assert!(notes.begin(1, PHASE, "mine", || (1, 0)).is_ok());
    }
}
