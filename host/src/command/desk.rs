//! Where work for one shard is laid down, and done in the order in which it came.
//!
//! A blocking thread does it, and goes on while more is there: to change threads for each command would cost more than
//! most decisions do. For the same reason it is called when the tasks that are ready have laid down theirs.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::{spawn_blocking, yield_now};

use super::error::CommandError;
use super::shard::Shard;

/// Most that lies on a desk when something is left there.
const LEFT_MAX: usize = 1024;

/// A shard, and what is to be done with it. Cheap to clone; clones share both.
#[derive(Clone)]
pub(super) struct Desk(Arc<Inner>);

struct Inner {
    /// Held by the thread that works, and by nobody else.
    shard: Mutex<Shard>,
    pile: Mutex<Pile>,
}

#[derive(Default)]
struct Pile {
    jobs: VecDeque<Job>,
    /// Whether a thread works them off.
    is_worked: bool,
}

type Job = Box<dyn FnOnce(&mut Shard) + Send>;

/// Where the answer of work is given. When it is dropped, the work has panicked, or the runtime goes down.
pub(super) type Tell<T> = oneshot::Sender<Result<T, CommandError>>;

impl Desk {
    pub(super) fn new(shard: Shard) -> Self {
        Self(Arc::new(Inner { shard: Mutex::new(shard), pile: Mutex::default() }))
    }

    /// Does something with the shard when all that came before is done. It is not begun when nobody waits for it any
    /// more.
    ///
    /// # Errors
    /// Those of the work, and [`CommandError::Panicked`].
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Shard) -> Result<T, CommandError> + Send + 'static,
    ) -> Result<T, CommandError> {
        // Whoever waited may have gone meanwhile.
        self.begin(move |shard, tell| drop(tell.send(work(shard)))).await
    }

    /// As [`Self::run`], for work that goes on elsewhere when the shard's part of it is done: whoever waits is woken
    /// once, by what gives the answer.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Shard, Tell<T>) + Send + 'static,
    ) -> Result<T, CommandError> {
        let (tell, answer) = oneshot::channel();
        let job = move |shard: &mut Shard| {
            if !Tell::<T>::is_closed(&tell) {
                work(shard, tell);
            }
        };
        self.lay_down(Box::new(job));
        answer.await.unwrap_or(Err(CommandError::Panicked))
    }

    /// Has something done with the shard before what comes next. It is not done when nothing comes, or too much was
    /// left before: it must not matter.
    pub(super) fn leave(&self, work: impl FnOnce(&mut Shard) + Send + 'static) {
        let mut pile = self.0.pile();
        if pile.jobs.len() < LEFT_MAX {
            pile.jobs.push_back(Box::new(work));
        }
    }

    fn lay_down(&self, job: Job) {
        let mut pile = self.0.pile();
        pile.jobs.push_back(job);
        if !std::mem::replace(&mut pile.is_worked, true) {
            let call = Call(Some(Arc::clone(&self.0)));
            tokio::spawn(async move {
                yield_now().await;
                // It goes on by itself.
                drop(spawn_blocking(move || call.answer()));
            });
        }
    }
}

/// A pile that a thread is called to. When none comes, as the runtime goes down, nobody waits for ever.
struct Call(Option<Arc<Inner>>);

impl Call {
    fn answer(mut self) {
        if let Some(inner) = self.0.take() {
            inner.work_off();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            let given_up = std::mem::take(&mut *inner.pile());
            // They may hold the desk itself, and tell who waits.
            drop(given_up);
        }
    }
}

impl Inner {
    fn work_off(&self) {
        let mut shard = self.shard.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(job) = self.next() {
            // Reported by the panic's hook. What the shard holds is in an unknown state then.
            if catch_unwind(AssertUnwindSafe(|| job(&mut shard))).is_err() {
                shard.reset();
            }
        }
    }

    /// What is to be done next; none when the thread is to go.
    fn next(&self) -> Option<Job> {
        let mut pile = self.pile();
        let job = pile.jobs.pop_front();
        pile.is_worked = job.is_some();
        job
    }

    fn pile(&self) -> MutexGuard<'_, Pile> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use futures::FutureExt as _;

    use super::*;
    use crate::command::counts::Counts;

    fn desk() -> Desk {
        Desk::new(Shard::new(1, Arc::new(Counts::default()), Arc::<AtomicU64>::default(), Arc::default()))
    }

    #[tokio::test]
    async fn work_is_done_in_the_order_of_coming_also_after_a_panic_and_not_for_nobody() {
        let (desk, done) = (desk(), Arc::new(Mutex::new(Vec::new())));
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let first = desk.run(move |_| gate.recv().map_err(|_| CommandError::Panicked));
        let note = |number: u32| {
            let done = Arc::clone(&done);
            desk.run(move |_| {
                assert_ne!(number, 2, "this one panics");
                done.lock().unwrap().push(number);
                Ok(number)
            })
        };
        let mut first = Box::pin(first);
        assert!(first.as_mut().now_or_never().is_none());
        let mut waiting: Vec<_> = (1..=4).map(|number| Box::pin(note(number))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none(), "it waits for the first");
        }
        // Nobody waits for the third.
        drop(waiting.remove(2));
        go.send(()).unwrap();
        first.await.unwrap();
        let mut answers = Vec::new();
        for one in waiting {
            answers.push(one.await.ok());
        }
        assert_eq!(answers, [Some(1), None, Some(4)]);
        assert_eq!(*done.lock().unwrap(), [1, 4]);
        // The thread has told the last answer, and may not have looked yet for what comes next.
        while desk.0.pile().is_worked {
            yield_now().await;
        }
        let left = Arc::clone(&done);
        desk.leave(move |_| left.lock().unwrap().push(5));
        assert_eq!(*done.lock().unwrap(), [1, 4], "nothing comes behind it yet");
        assert_eq!(note(6).await.unwrap(), 6, "a thread comes again");
        assert_eq!(*done.lock().unwrap(), [1, 4, 5, 6]);
    }

    #[test]
    fn who_waits_when_the_runtime_ends_is_told_and_nothing_stays_on_the_desk() {
        let (desk, kept) = (desk(), Arc::new(()));
        let new_runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let holds = Arc::clone(&kept);
        let mut asked = Box::pin(desk.run(move |_| Ok(Arc::strong_count(&holds))));
        let runtime = new_runtime();
        runtime.block_on(async { assert!(asked.as_mut().now_or_never().is_none()) });
        drop(runtime);
        assert!(matches!(asked.now_or_never(), Some(Err(CommandError::Panicked))));
        assert_eq!(Arc::strong_count(&kept), 1);
        assert_eq!(new_runtime().block_on(desk.run(|_| Ok(7))).ok(), Some(7), "another runtime works it off");
    }
}
