//! One plugin's place in a streaming body: pulls frames, hands them to the guest, passes on what it answers.
//!
//! A stage is primed before anything goes out: until the guest has let the first bytes go, it may still answer with a
//! response of its own. Only the head of a response that is read in chunks does not wait for that: an event stream may have
//! nothing to say for hours. After a failure with policy `open` the rest passes untouched, unless the guest had begun to
//! replace bytes: what it held back then can't be told from what it had passed, so the stream ends in an error rather
//! than in a body with a hole.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use plugin_rules::body::{ANSWERS_TOO_LATE, KEEPS_TOO_MUCH, may_answer};

use super::link::{Guest, Lent, Link, named, passes};
use crate::error::{Error, ErrorKind};
use crate::exchange::{Exchange, SharedExchange, StreamState};
use crate::memory::Budget;
use crate::message::headers::Direction;
use crate::message::{Body, FieldMap};
use crate::plugin::call::{Action, BodyMode, Call, LocalResponse, Piece};
use crate::plugin::whole::Whole;
use crate::sanitize::safe;

/// What a primed stage came to.
pub(super) enum Primed {
    /// The body, with its first bytes decided.
    Body(Body),
    /// The guest answered instead.
    Respond(LocalResponse),
}

enum Step {
    Frame(Frame<Bytes>),
    End,
    Respond(LocalResponse),
}

/// The state of one plugin's stage.
pub(super) struct Stage<L: Link> {
    pub(super) body: Body,
    pub(super) link: Rc<L>,
    /// The instance that is held for the length of the body, where the plugin needs that. Otherwise each call has its own.
    pub(super) guest: Option<L::Guest>,
    pub(super) exchange: SharedExchange,
    pub(super) index: usize,
    pub(super) direction: Direction,
    /// Chunks as they come, or one call with everything.
    pub(super) mode: BodyMode,
    /// The message's head does not wait for what the guest makes of the body, so it can neither answer nor change the head.
    pub(super) head_goes_first: bool,
    /// Where bodies that are held come from.
    pub(super) memory: Arc<Budget>,
    /// Largest body that it may have whole.
    pub(super) limit: u64,
    /// Set when it fails with policy `open`, for the phases that come later.
    pub(super) absent: Rc<Cell<bool>>,
    pub(super) progress: Progress,
}

/// How far a stage has come.
#[derive(Default)]
pub(super) struct Progress {
    ready: VecDeque<Frame<Bytes>>,
    released: bool,
    replaced: bool,
    bypass: bool,
    ended: bool,
}

impl<L: Link> Stage<L> {
    /// Runs until the guest has let bytes go, has answered, or the body has ended.
    pub(super) async fn prime(mut self) -> Result<Primed, Error> {
        match self.step().await? {
            Step::Respond(response) => return Ok(Primed::Respond(response)),
            Step::End => return Ok(Primed::Body(Body::empty())),
            Step::Frame(frame) => self.progress.ready.push_front(frame),
        }
        Ok(Primed::Body(self.into_body()))
    }

    /// The body of a response whose head does not wait for it. What of it has come with the head passes the guest at once,
    /// so that a short one is there as a whole; `alone`: nobody else has a part in the body who might be left half-way
    /// with the exchange in its hands.
    pub(super) async fn begin(mut self, alone: bool) -> Result<Body, Error> {
        self.head_goes_first = true;
        while alone && self.progress.ready.is_empty() && !self.progress.ended {
            let Some(frame) = self.body.frame().now_or_never() else { break };
            self.take(frame.transpose()?).await?;
        }
        Ok(self.into_body())
    }

    /// What is known to be all of it is told with its length.
    fn into_body(mut self) -> Body {
        if self.progress.ended && self.progress.ready.len() <= 1 {
            match self.progress.ready.pop_front().map(Frame::into_data) {
                None => return Body::empty(),
                Some(Ok(data)) => return Body::full(data),
                Some(Err(trailers)) => self.progress.ready.push_front(trailers),
            }
        }
        Body::boxed(StageBody::Idle(Box::new(self)))
    }

    async fn step(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(frame) = self.progress.ready.pop_front() {
                return Ok(Step::Frame(frame));
            }
            if self.progress.ended {
                // The instance goes back as soon as the body is done, not when the client has read it.
                self.guest = None;
                return Ok(Step::End);
            }
            let answer = match self.mode {
                BodyMode::Whole => self.collect().await?,
                _ => {
                    let frame = self.body.frame().await.transpose()?;
                    self.take(frame).await?
                }
            };
            if let Some(response) = answer {
                return Ok(Step::Respond(response));
            }
        }
    }

    /// One frame from below through the guest; none is the end.
    async fn take(&mut self, frame: Option<Frame<Bytes>>) -> Result<Option<LocalResponse>, Error> {
        let (data, trailers) = match frame {
            Some(frame) => match frame.into_data() {
                Ok(data) => (data, None),
                Err(frame) => (Bytes::new(), frame.into_trailers().ok().map(FieldMap::from)),
            },
            None => {
                self.progress.ended = true;
                (Bytes::new(), None)
            }
        };
        self.progress.ended |= trailers.is_some() || self.body.is_end_stream();
        let end = self.progress.ended;
        self.hand_over(data, trailers, end).await
    }

    /// The whole body through the guest.
    async fn collect(&mut self) -> Result<Option<LocalResponse>, Error> {
        let mut all = Whole::new(self.memory.clone(), self.body.size_hint().exact());
        let mut trailers = None;
        while let Some(frame) = self.body.frame().await.transpose()? {
            match frame.into_data() {
                Ok(data) if all.len() + data.len() as u64 > self.limit => {
                    let kind = match self.direction {
                        Direction::Request => ErrorKind::BodyTooLarge,
                        Direction::Response => ErrorKind::ResponseTooLarge,
                    };
                    let error = Error::new(kind, safe!("wants the body whole, and the limit is ", self.limit));
                    return Err(named(self.link.name(), &error));
                }
                Ok(data) => all.push(&data).await.map_err(|error| named(self.link.name(), &error))?,
                Err(frame) => trailers = frame.into_trailers().ok().map(FieldMap::from),
            }
        }
        self.progress.ended = true;
        self.hand_over(all.finish(), trailers, true).await
    }

    async fn hand_over(
        &mut self,
        data: Bytes,
        trailers: Option<FieldMap>,
        end: bool,
    ) -> Result<Option<LocalResponse>, Error> {
        if self.progress.bypass || (data.is_empty() && !end) {
            self.emit(data, trailers);
            return Ok(None);
        }
        // Never across a checkout: whoever holds the last instance may need the lock to give it back.
        let guest = match self.guest.take().or_else(|| self.link.idle()) {
            Some(guest) => Ok(guest),
            None => self.link.checkout().await,
        };
        let exchange = self.exchange.clone();
        let mut exchange = exchange.lock().await;
        if let (Some(exchange), Some(trailers)) = (exchange.as_deref_mut(), trailers.clone()) {
            *self.trailers_of(exchange) = Some(trailers);
        }
        let action = match guest {
            Ok(guest) => self.call(guest, &mut exchange, &data, end).await,
            Err(error) => Err(error),
        };
        if exchange.as_deref_mut().is_some_and(|exchange| self.has_lost_its_place(exchange, end)) {
            return Err(self.aborts(KEEPS_TOO_MUCH));
        }
        // What the guest made of the trailers, or added where there were none.
        let trailers = match exchange.as_deref_mut() {
            Some(exchange) if end => self.trailers_of(exchange).clone().filter(|fields| !fields.is_empty()),
            _ => trailers,
        };
        drop(exchange);
        match action {
            Ok(Action::Continue(_)) => self.emit(data, trailers),
            Ok(Action::Replace(bytes)) => {
                self.progress.replaced = true;
                drop(data);
                let bytes = self.memory.count(bytes).map_err(|full| named(self.link.name(), &full.into()))?;
                self.emit(bytes, trailers);
            }
            Ok(Action::Respond(response)) if may_answer(self.progress.released || self.head_goes_first) => {
                return Ok(Some(response));
            }
            Ok(Action::Respond(_)) => return Err(self.aborts(ANSWERS_TOO_LATE)),
            Ok(Action::Abort) => return Err(self.aborts("aborted the stream")),
            Ok(Action::RespondStored(_) | Action::Retry) => {
                return Err(self.aborts("answered with an action that a body phase does not have"));
            }
            Err(error) if passes(self.link.on_failure(), &error) && !self.progress.replaced => {
                self.link.warn(&error, true);
                self.progress.bypass = true;
                self.absent.set(true);
                self.guest = None;
                self.emit(data, trailers);
            }
            Err(error) => {
                self.link.warn(&error, false);
                return Err(named(self.link.name(), &error));
            }
        }
        Ok(None)
    }

    fn aborts(&self, what: &'static str) -> Error {
        named(self.link.name(), &Error::new(ErrorKind::PluginAbort, what))
    }

    async fn call(&mut self, mut guest: L::Guest, lent: &mut Lent, data: &[u8], end: bool) -> Result<Action, Error> {
        let piece = Piece { data, end, mode: self.mode };
        let call = match self.direction {
            Direction::Request => Call::RequestBody(piece),
            Direction::Response => Call::ResponseBody(piece),
        };
        // Whether it has gone out yet is a matter of moments: the guest finds it gone in any case.
        let sent = |lent: &mut Lent, sent| {
            let response = lent.as_deref_mut().and_then(|exchange| exchange.response.as_mut());
            response.is_some_and(|response| std::mem::replace(&mut response.sent, sent))
        };
        let before = self.head_goes_first.then(|| sent(lent, true));
        let action = guest.call(lent, self.index, call).await;
        if let Some(before) = before {
            sent(lent, before);
        }
        if action.is_ok() && !end && self.link.pins() {
            guest.pin();
            self.guest = Some(guest);
        }
        action
    }

    /// Whether the guest has failed to keep what it must remember for the next chunk. At the end nothing is to be kept.
    fn has_lost_its_place(&self, exchange: &mut Exchange, end: bool) -> bool {
        let Some(scratch) = exchange.scratch.get_mut(self.index) else { return false };
        let kept = scratch.stream(self.direction);
        let lost = matches!(kept, StreamState::Lost);
        if end {
            *kept = StreamState::None;
        }
        lost
    }

    fn emit(&mut self, data: Bytes, trailers: Option<FieldMap>) {
        if !data.is_empty() {
            self.progress.released = true;
            self.progress.ready.push_back(Frame::data(data));
        }
        if let Some(trailers) = trailers {
            self.progress.ready.push_back(Frame::trailers(trailers.into_map()));
        }
    }

    fn trailers_of<'a>(&self, exchange: &'a mut Exchange) -> &'a mut Option<FieldMap> {
        match (self.direction, &mut exchange.response) {
            (Direction::Response, Some(response)) => &mut response.trailers,
            _ => &mut exchange.request.trailers,
        }
    }
}

type StepFuture<L> = Pin<Box<dyn Future<Output = (Box<Stage<L>>, Result<Step, Error>)>>>;

/// A primed stage as a body.
enum StageBody<L: Link> {
    Idle(Box<Stage<L>>),
    Running(StepFuture<L>),
    Done,
}

impl<L: Link> HttpBody for StageBody<L> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        loop {
            match std::mem::replace(this, Self::Done) {
                Self::Done => return Poll::Ready(None),
                Self::Idle(mut stage) => {
                    if let Some(frame) = stage.progress.ready.pop_front() {
                        *this = Self::Idle(stage);
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    if stage.progress.ended {
                        return Poll::Ready(None);
                    }
                    *this = Self::Running(Box::pin(async move {
                        let step = stage.step().await;
                        (stage, step)
                    }));
                }
                Self::Running(mut running) => match running.as_mut().poll(cx) {
                    Poll::Pending => {
                        *this = Self::Running(running);
                        return Poll::Pending;
                    }
                    Poll::Ready((stage, Ok(Step::Frame(frame)))) => {
                        *this = Self::Idle(stage);
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Poll::Ready((_, Ok(Step::End))) => return Poll::Ready(None),
                    Poll::Ready((stage, Ok(Step::Respond(_)))) => {
                        let error = stage.aborts("answered after the body had begun");
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Ready((_, Err(error))) => return Poll::Ready(Some(Err(error))),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Idle(stage) => stage.progress.ended && stage.progress.ready.is_empty(),
            Self::Running(_) => false,
            Self::Done => true,
        }
    }
}
