//! The tasks that hyper starts for an HTTP/2 connection, on the worker. What runs inside of one can ask for its handle:
//! a request body does, because hyper stops asking it for more while the peer's flow control holds its stream up, so
//! that the only way to end it then is to end its task.

use std::cell::OnceCell;
use std::future::Future;
use std::rc::Rc;

use tokio::task::AbortHandle;

tokio::task_local! {
    static RUNNING: Rc<OnceCell<AbortHandle>>;
}

/// Runs hyper's tasks on the worker.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        let handle = Rc::new(OnceCell::new());
        let task = tokio::task::spawn_local(RUNNING.scope(handle.clone(), future));
        handle.get_or_init(|| task.abort_handle());
    }
}

/// The task of an executor that is being polled.
pub(in crate::upstream) fn running() -> Option<AbortHandle> {
    RUNNING.try_with(|handle| handle.get().cloned()).ok().flatten()
}
