//! Room that a map has left behind, for the next one of its thread: a request makes a few maps, and none of them allocates.

use std::cell::RefCell;

use bytes::Bytes;

use super::list::Fields;

/// Maps whose room is kept.
const KEPT: usize = 64;
/// Room for more fields, or more text, is given back.
const MOST_FIELDS: usize = 128;
const MOST_TEXT: usize = 8 << 10;
/// What a map has room for at first.
const FIELDS: usize = 24;
const TEXT: usize = 512;

thread_local! {
    // Boxes are what is handed out.
    #[allow(clippy::vec_box)]
    static SPARE: RefCell<Vec<Box<Fields>>> = const { RefCell::new(Vec::new()) };
}

/// Room for fields.
#[inline]
pub(super) fn take() -> Box<Fields> {
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    spare.unwrap_or_else(new)
}

#[cold]
fn new() -> Box<Fields> {
    Box::new(Fields::with_room(FIELDS, TEXT))
}

/// Keeps the room of a map that is gone.
pub(super) fn give_back(mut fields: Box<Fields>) {
    let room = FIELDS..=MOST_FIELDS;
    if !room.contains(&fields.list.capacity()) || fields.added.capacity() > MOST_TEXT {
        return;
    }
    fields.received = Bytes::new();
    fields.added.clear();
    fields.list.clear();
    (fields.waste, fields.present) = (0, 0);
    // At the end of a thread it is too late.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < KEPT {
            spare.push(fields);
        }
    });
}
