//! Queries of running plugins: each goes to the version, and the state, that are live when it is its turn.

use std::sync::Arc;
use std::time::Duration;

use super::Registry;
use super::board::Running;
use crate::clock::Stopwatch;
use crate::delivery::live_state;
use crate::event::PluginName;
use crate::projection::{Answered, Counted, Moment, Pool, Query, QueryCounts, QueryRefused};
use crate::runtime::Role;

/// How long it is until the version that is live is looked for again, while another one is swapped in.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What answers the queries of one plugin.
#[derive(Default)]
pub(super) struct Queries {
    counted: Arc<Counted>,
    /// The version that the pool is of, as [`Running::generation`] counts them.
    generation: u64,
    /// None while what runs answers no queries.
    pool: Option<Arc<Pool>>,
}

impl Queries {
    /// Makes a version answer that has become what runs.
    pub(super) fn follow(&mut self, running: &Running) {
        if self.generation != running.generation {
            self.renew(running);
        }
    }

    /// Has further queries answered by what the version that runs is allowed now.
    pub(super) fn renew(&mut self, running: &Running) {
        self.generation = running.generation;
        let (loaded, options) = (Arc::clone(&running.loaded), running.allowed.options.clone());
        let (plugin, counted) = (options.plugin.clone(), Arc::clone(&self.counted));
        let answers = loaded.roles().contains(&Role::Projection);
        let pool = || Arc::new(Pool::new(plugin, counted, move || loaded.projection(options.clone())));
        self.pool = answers.then(pool);
    }

    /// What answers now.
    pub(super) fn pool(&self) -> Option<Arc<Pool>> {
        self.pool.clone()
    }

    /// What was counted; none while nothing was ever asked.
    pub(super) fn counts(&self) -> Option<QueryCounts> {
        self.pool.is_some().then(|| self.counted.read())
    }
}

impl Registry {
    /// Has a running plugin answer a query, beside its delivery, from its live state as it is then.
    ///
    /// # Errors
    /// When it does not run or answers no queries, the query is over a bound, too many wait, or the state cannot be
    /// read. What the plugin says, and how it fails, is part of the answer.
    pub async fn query(&self, name: &PluginName, query: &Query) -> Result<Answered, QueryRefused> {
        query.check()?;
        let answered = within(query.wait, |wait| self.look(name, Query { wait, ..query.clone() })).await?;
        answered.ok_or_else(|| QueryRefused::Replaced { plugin: name.clone() })
    }

    /// Asks the version that runs; no answer while another one is live.
    async fn look(&self, name: &PluginName, query: Query) -> Result<Option<Answered>, QueryRefused> {
        let (running, pool) = self.board.answering(name)?;
        let (store, clock, plugin) = (Arc::clone(&self.store), Arc::clone(self.board.clock()), name.clone());
        let look = move || {
            let live = live_state(&plugin, &*store, Some(&running.dispatcher.status()))?;
            // Between a swap of the state and that of what reads it, nobody answers.
            let of_another = !live.component.is_empty() && live.component != running.digest;
            Ok((!of_another).then(|| Moment {
                owner: live.owner,
                state: live.state,
                checkpoint: live.checkpoint,
                now_us: clock.now_us(),
            }))
        };
        pool.ask(&query, look).await
    }

    /// How often a running plugin was asked, with what result; none of one that answers no queries.
    #[must_use]
    pub fn query_counts(&self, name: &PluginName) -> Option<QueryCounts> {
        self.board.query_counts(name)
    }
}

/// Looks again and again until there is an answer, or the time is over, of which each look has what is left.
async fn within<T, E, F>(wait: Duration, mut look: impl FnMut(Duration) -> F) -> Result<Option<T>, E>
where
    F: Future<Output = Result<Option<T>, E>>,
{
    let began = Stopwatch::start();
    loop {
        let left = wait.saturating_sub(began.elapsed());
        let found = look(left).await?;
        if found.is_some() || left.is_zero() {
            return Ok(found);
        }
        tokio::time::sleep(LOOK_AGAIN.min(left)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looks_share_one_time() {
        // Not over before the first look is made, however long that has to wait for a processor.
        let wait = Duration::from_millis(500);
        let mut left = Vec::new();
        let never = |time| {
            left.push(time);
            async move {
                tokio::time::sleep(time / 2).await;
                Ok::<_, ()>(None::<()>)
            }
        };
        assert_eq!(within(wait, never).await, Ok(None));
        assert!(left.len() >= 2 && left.is_sorted_by(|earlier, later| earlier > later), "{left:?}");
        assert!(left[0] <= wait && left.last().unwrap().is_zero(), "{left:?}");
        assert_eq!(within(Duration::ZERO, async |_| Ok::<_, ()>(Some(1))).await, Ok(Some(1)), "there is one look");
        assert_eq!(within(wait, async |_| Err::<Option<()>, _>("gone")).await, Err("gone"));
    }
}
