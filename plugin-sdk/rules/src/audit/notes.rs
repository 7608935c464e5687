//! The notes of one exchange: equal ones added up, and bounded for each plugin.

use super::{Action, MAX_NOTES, Place};
use crate::fields::FieldError;

/// What a plugin saw of one category in one place, and did with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The place of the plugin in its chain.
    pub by: usize,
    /// The category of personal data, a short word.
    pub category: Box<str>,
    /// Where it was seen.
    pub place: Place,
    /// What was done with it.
    pub action: Action,
    /// How often.
    pub count: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Notes {
    notes: Vec<Note>,
    dropped: u64,
}

impl Notes {
    /// Adds to the plugin's equal note, or one more. The words have been checked (see [`super::check`]).
    ///
    /// # Errors
    /// `TooLarge` for one more than a plugin may have, which is counted.
    pub fn add(
        &mut self,
        by: usize,
        category: &str,
        (place, action): (Place, Action),
        count: u32,
    ) -> Result<(), FieldError> {
        let is_equal = |note: &&mut Note| {
            note.by == by && note.place == place && note.action == action && *note.category == *category
        };
        if let Some(note) = self.notes.iter_mut().find(is_equal) {
            note.count = note.count.saturating_add(count.into());
        } else if self.notes.iter().filter(|note| note.by == by).count() < MAX_NOTES {
            self.notes.push(Note { by, category: category.into(), place, action, count: count.into() });
        } else {
            self.dropped = self.dropped.saturating_add(1);
            return Err(FieldError::TooLarge);
        }
        Ok(())
    }

    /// The notes, in the order in which each was first made.
    pub fn as_slice(&self) -> &[Note] {
        &self.notes
    }

    /// How many were refused for want of room: where it is not 0, the notes are not all that there was to tell.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: (Place, Action) = (Place::ResponseBody, Action::Masked);

    #[test]
    fn equal_notes_of_a_plugin_are_added_up() {
        let mut notes = Notes::default();
        for (by, category, what, count) in [
            (0, "card", SEEN, 2),
            (0, "card", SEEN, u32::MAX),
            (0, "card", (Place::ResponseHeader, Action::Masked), 1),
            (0, "card", (Place::ResponseBody, Action::Blocked), 1),
            (0, "email", SEEN, 1),
            (1, "card", SEEN, 1),
        ] {
            assert_eq!(notes.add(by, category, what, count), Ok(()));
        }
        let counts: Vec<u64> = notes.as_slice().iter().map(|note| note.count).collect();
        assert_eq!(counts, [2 + u64::from(u32::MAX), 1, 1, 1, 1]);
        assert_eq!(notes.dropped(), 0);
    }

    #[test]
    fn what_is_over_is_dropped_and_counted_and_takes_no_room_from_others() {
        let mut notes = Notes::default();
        for number in 0..MAX_NOTES {
            assert_eq!(notes.add(0, &format!("c{number}"), SEEN, 1), Ok(()));
        }
        assert_eq!(notes.add(0, "more", SEEN, 1), Err(FieldError::TooLarge));
        assert_eq!(notes.add(0, "c0", SEEN, 1), Ok(()), "what is there is added to");
        assert_eq!(notes.add(1, "card", SEEN, 1), Ok(()), "another plugin has its own");
        assert_eq!((notes.as_slice().len(), notes.dropped()), (MAX_NOTES + 1, 1));
    }
}
