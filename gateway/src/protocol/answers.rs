//! Boxes for answers, which are large: one for each request of a worker that runs.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// More than this many unused boxes are not kept.
const KEPT: usize = 64;

type Place<A> = Pin<Box<Option<A>>>;

/// The boxes that are not in use.
pub(super) struct Answers<A>(Rc<RefCell<Vec<Place<A>>>>);

impl<A> Default for Answers<A> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<A: Future> Answers<A> {
    /// Puts an answer into a box.
    pub(super) fn start(&self, answer: A) -> Answering<A> {
        let known = self.0.borrow_mut().pop();
        let place = match known {
            Some(mut place) => {
                place.set(Some(answer));
                place
            }
            None => Box::pin(Some(answer)),
        };
        Answering { answers: self.0.clone(), place: Some(place) }
    }
}

/// A request that is being answered. Its box serves the next one when it is dropped.
pub(super) struct Answering<A> {
    answers: Rc<RefCell<Vec<Place<A>>>>,
    place: Option<Place<A>>,
}

impl<A: Future> Answering<A> {
    /// The answer, in time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<A::Output> {
        match self.place.as_mut().and_then(|place| place.as_mut().as_pin_mut()) {
            Some(answer) => answer.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<A> Drop for Answering<A> {
    fn drop(&mut self) {
        if let Some(mut place) = self.place.take() {
            place.set(None);
            let mut answers = self.answers.borrow_mut();
            if answers.len() < KEPT {
                answers.push(place);
            }
        }
    }
}
