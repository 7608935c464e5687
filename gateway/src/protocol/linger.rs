//! What clients send that nobody wants: it is taken in for a moment, so that they get their answers.
//!
//! Over TCP a socket that is closed with unread bytes in it is reset, and a reset overtakes the last response (RFC 9112
//! section 9.6). Over HTTP/1 a request that was answered early stands before the next one: see `upload`. Over HTTP/2 a
//! server may answer early and then reset the stream with NO_ERROR (RFC 9113 section 8.1); some clients, curl up to 7.88
//! among them, take a reset that comes while they are sending for a failure, and never show the answer. A client that is
//! done by then sees no reset at all. (Over HTTP/3 a body that is dropped asks the client to stop sending, with NO_ERROR,
//! RFC 9114 section 4.1.)

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::activity::Activity;

/// How long a client may go on sending what nobody wants.
pub(super) const LINGER: Duration = Duration::from_secs(5);
/// How long it may pause meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
/// How much is taken in beside the last response of a connection.
pub(super) const MOST_OF_CONNECTION: u64 = 4 << 20;
/// How much is taken in of one of many streams.
pub(super) const MOST_OF_STREAM: u64 = 1 << 20;

/// Takes in what `next` tells the sizes of, until there is no more: at most so much, within `limit`, and across a pause only
/// while it `waits`.
pub(super) async fn take_in(
    limit: Duration,
    most: u64,
    waits: impl Fn() -> bool,
    mut next: impl AsyncFnMut() -> Option<usize>,
) {
    let taking = async {
        let mut taken = 0;
        while taken < most {
            match tokio::time::timeout(PAUSE, next()).await {
                Ok(Some(count)) => taken += count as u64,
                Ok(None) => return,
                Err(_) if waits() => {}
                Err(_) => return,
            }
        }
    };
    let _ = tokio::time::timeout(limit, taking).await;
}

/// Closes a connection so that its last response arrives, which has been written, as has its end: a client that is still
/// sending a body which was refused is read for a moment longer.
pub(super) async fn close(mut io: impl AsyncRead + Unpin, activity: &Activity) {
    // In a box: an idle connection must not keep room for it.
    let lingering = Box::pin(async move {
        let mut buffer = [0; 4096];
        let read = async || io.read(&mut buffer).await.ok().filter(|&count| count > 0);
        take_in(LINGER, MOST_OF_CONNECTION, || false, read).await;
    });
    tokio::select! {
        () = activity.closed() => {}
        () = lingering => {}
    }
}
