//! Finds who asks, and asks whether they may.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::sync::watch;

use crate::access::{Action, Denied, KeyName, NoEntry, Policy, Principal, Secret};
use crate::event::{Filter, InvalidQuery, Query, RecordedEvent};
use crate::measure::Counter;
use crate::store::{AppendError, AppendRequest, Appended, AsyncStore, StreamDeletion};

/// What `Authorization` begins with, in any case.
const SCHEME: &str = "Bearer ";

/// The keys of the moment, and how often somebody was not let in.
#[derive(Debug)]
pub struct Gate {
    policy: watch::Sender<Arc<Policy>>,
    is_reached_by_others: bool,
    no_key: Counter,
    unknown_key: Counter,
    denied: Counter,
}

/// How often somebody was not let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// For want of a key.
    pub no_key: u64,
    /// With what is no key.
    pub unknown_key: u64,
    /// With a key that is not for that.
    pub denied: u64,
}

impl Gate {
    /// A gate that lets in whom a policy says.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy: watch::Sender::new(Arc::new(policy)),
            is_reached_by_others: false,
            no_key: Counter::default(),
            unknown_key: Counter::default(),
            denied: Counter::default(),
        }
    }

    /// The gate of a server that other machines can reach, if they can.
    #[must_use]
    pub const fn reached_by_others(mut self, is_reached: bool) -> Self {
        self.is_reached_by_others = is_reached;
        self
    }

    /// Whether other machines can reach the server.
    #[must_use]
    pub const fn is_reached_by_others(&self) -> bool {
        self.is_reached_by_others
    }

    /// From now on another policy holds, for what was begun before too.
    pub fn replace(&self, policy: Policy) {
        self.policy.send_replace(Arc::new(policy));
    }

    /// Whether no key is asked for.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.policy.borrow().is_open()
    }

    /// How often somebody was not let in.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        Refusals { no_key: self.no_key.get(), unknown_key: self.unknown_key.get(), denied: self.denied.get() }
    }

    /// Who sends a request with this header, to do `what`.
    ///
    /// # Errors
    /// When a key is needed and the header has none of the keys. That is counted and logged, without what was presented.
    pub fn admit(self: &Arc<Self>, headers: &HeaderMap, what: impl fmt::Display) -> Result<Caller, NoEntry> {
        let policy = Arc::clone(&self.policy.borrow());
        let admitted = policy.admit(presented(headers).as_ref());
        let principal = admitted.inspect_err(|refused| {
            match refused {
                NoEntry::NoKey => self.no_key.add(1),
                NoEntry::UnknownKey => self.unknown_key.add(1),
            }
            tracing::warn!(%what, reason = %refused, "a request was not let in");
        })?;
        Ok(Caller { principal, gate: Arc::clone(self) })
    }
}

/// What a header presents: nothing if it has no `Authorization` of the scheme, or several.
fn presented(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, secret) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| Secret::presented(secret.trim()))
}

/// Who asks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Principal,
    gate: Arc<Gate>,
}

impl Caller {
    /// Whether the caller may do something.
    ///
    /// # Errors
    /// When not, and why. That is counted, and logged by the key's name.
    pub fn may(&self, action: &Action<'_>) -> Result<(), Denied> {
        self.judge(action).inspect_err(|denied| {
            tracing::warn!(key = %self.principal, reason = %denied, "a request was denied");
        })
    }

    /// The same, without a line in the log: for what may be asked many times within one request.
    ///
    /// # Errors
    /// As there.
    pub fn judge(&self, action: &Action<'_>) -> Result<(), Denied> {
        let policy = Arc::clone(&self.gate.policy.borrow());
        policy.decide(&self.principal, action).inspect_err(|_| self.gate.denied.add(1))
    }

    /// Whether the caller could do something that was not asked for: neither counted nor logged.
    #[must_use]
    pub fn could(&self, action: &Action<'_>) -> bool {
        self.gate.policy.borrow().decide(&self.principal, action).is_ok()
    }

    /// Whether the caller may append all of this.
    ///
    /// # Errors
    /// Says what of it not.
    pub fn may_append(&self, request: &AppendRequest) -> Result<(), Denied> {
        if self.gate.is_open() {
            return Ok(());
        }
        for event in &request.events {
            self.may(&Action::AppendEvent(&event.event_type, event.stream.as_ref()))?;
        }
        request.expected.iter().try_for_each(|expected| self.may(&Action::Expect(&expected.stream)))?;
        if let Some(condition) = &request.condition {
            self.may(&Action::Guard(&condition.fail_if_match))?;
        }
        request.tracking.as_ref().map_or(Ok(()), |_| self.may(&Action::Follow))
    }

    /// The events that the caller may see at all.
    #[must_use]
    pub fn reach(&self) -> Filter {
        self.principal.reach()
    }

    /// A query, less what the caller may not see.
    ///
    /// # Errors
    /// When it is too large then.
    pub fn narrow(&self, query: Query) -> Result<Query, InvalidQuery> {
        query.within(&self.principal.reach())
    }

    /// The name of the caller's key; none where no keys are.
    #[must_use]
    pub fn key(&self) -> Option<&KeyName> {
        self.principal.key()
    }

    /// Appends what was allowed. Where an id is taken, an event that the caller may not read is not told of.
    ///
    /// # Errors
    /// As [`AsyncStore::append`].
    pub async fn append(&self, store: &AsyncStore, request: AppendRequest) -> Result<Appended, AppendError> {
        match store.append(request).await {
            Err(error) => Err(self.discreet(store, error).await),
            appended => appended,
        }
    }

    /// Ends a stream, which was allowed, and tells of a refusal as [`Self::append`] does.
    ///
    /// # Errors
    /// As [`AsyncStore::delete_stream`].
    pub async fn delete_stream(&self, store: &AsyncStore, deletion: StreamDeletion) -> Result<Appended, AppendError> {
        match store.delete_stream(deletion).await {
            Err(error) => Err(self.discreet(store, error).await),
            deleted => deleted,
        }
    }

    /// An error that tells no more than the caller may read.
    async fn discreet(&self, store: &AsyncStore, error: AppendError) -> AppendError {
        let AppendError::IdConflict { index, id, position } = error else { return error };
        let taken = store.event(id).await.ok().flatten();
        let policy = Arc::clone(&self.gate.policy.borrow());
        // Nothing was asked for that might be denied: it is not counted.
        let reads = |event: RecordedEvent| policy.decide(&self.principal, &Action::ReadEvent(&event)).is_ok();
        let told = taken.is_some_and(reads);
        if told { AppendError::IdConflict { index, id, position } } else { AppendError::IdTaken { index, id } }
    }

    /// What the caller is once expelled.
    #[must_use]
    pub fn once_expelled(&self) -> NoEntry {
        if self.principal.key().is_some() { NoEntry::UnknownKey } else { NoEntry::NoKey }
    }

    /// Resolves when the caller's key is taken back or changed, or, for one without, when keys come to be.
    pub async fn expelled(self) {
        let mut policy = self.gate.policy.subscribe();
        let stays = |policy: &Arc<Policy>| policy.decide(&self.principal, &Action::Head).is_ok();
        // The sender lives in `self`, so waiting ends only by what is waited for.
        let _ = policy.wait_for(|policy| !stays(policy)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::access::{Keys, NewKey, Scope};

    fn keys() -> Keys {
        let mut keys = Keys::default();
        let key = NewKey {
            name: "reader".parse().unwrap(),
            scopes: vec![Scope::Read],
            streams: Vec::new(),
            types: Vec::new(),
            created: String::new(),
        };
        keys.add(key, &Secret::of_bytes(&[1; 32])).unwrap();
        keys
    }

    fn header(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn a_key_is_a_bearer_token() {
        let gate = Arc::new(Gate::new(Policy::of_keys(keys())));
        let secret = Secret::of_bytes(&[1; 32]);
        let key = secret.reveal();
        for good in [format!("Bearer {key}"), format!("bearer {key}"), format!("BEARER  {key} ")] {
            let caller = gate.admit(&header(&[&good]), "a test").unwrap();
            assert_eq!(caller.principal.to_string(), "reader");
        }
        let twice = format!("Bearer {key}");
        for bad in [vec![], vec![key], vec!["Basic YTpi"], vec![twice.as_str(), twice.as_str()], vec!["Bearer"]] {
            assert_eq!(gate.admit(&header(&bad), "a test").unwrap_err(), NoEntry::NoKey, "{bad:?}");
        }
        assert_eq!(gate.admit(&header(&["Bearer x"]), "a test").unwrap_err(), NoEntry::UnknownKey);
        let caller = gate.admit(&header(&[&twice]), "a test").unwrap();
        assert!(caller.may(&Action::Read).is_ok() && caller.may(&Action::Append).is_err());
        assert_eq!(gate.refusals(), Refusals { no_key: 5, unknown_key: 1, denied: 1 });
    }

    #[tokio::test]
    async fn a_caller_is_expelled_with_the_key() {
        let gate = Arc::new(Gate::new(Policy::open()));
        let anyone = gate.admit(&HeaderMap::new(), "a test").unwrap();
        gate.replace(Policy::of_keys(keys()));
        anyone.expelled().await;
        let header = header(&[&format!("Bearer {}", Secret::of_bytes(&[1; 32]).reveal())]);
        let mut expelled = Box::pin(gate.admit(&header, "a test").unwrap().expelled());
        gate.replace(Policy::of_keys(keys()));
        assert!((&mut expelled).now_or_never().is_none(), "the key is as it was");
        gate.replace(Policy::of_keys(Keys::default()));
        expelled.await;
    }
}
