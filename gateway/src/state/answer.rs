//! What an operation on state gives: a value at once where state is in this process, or one that comes when whoever has
//! it has answered.

use std::future::Future;
use std::pin::Pin;

/// The backend could not be asked, or gave no answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state's backend does not answer")]
pub struct Unavailable;

/// The outcome of an operation.
pub enum Answer<T> {
    /// It is there. What memory gives, without an allocation or anything to wait for.
    Ready(T),
    /// It will come.
    Later(Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send>>),
}

impl<T> Answer<T> {
    /// The value, for callers that can't wait. They ask only backends that [never wait](super::State::waits).
    #[inline]
    pub fn now(self) -> Result<T, Unavailable> {
        match self {
            Self::Ready(value) => Ok(value),
            Self::Later(_) => Err(Unavailable),
        }
    }

    /// The value, once it is there.
    pub async fn wait(self) -> Result<T, Unavailable> {
        match self {
            Self::Ready(value) => Ok(value),
            Self::Later(coming) => coming.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_there_needs_no_waiting_and_what_comes_is_waited_for() {
        assert_eq!((Answer::Ready(1).now(), Answer::Ready(1).wait().await), (Ok(1), Ok(1)));
        let later = || Answer::Later(Box::pin(async { Ok(2) }));
        assert_eq!((later().now(), later().wait().await), (Err(Unavailable), Ok(2)));
    }
}
