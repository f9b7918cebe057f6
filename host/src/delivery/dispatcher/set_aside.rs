//! What an operator has done with set-aside events: passed on to the partitions that they belong to.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::command::{CommandError, Letters, Lines, Order, Redriven, Retry};
use super::partitions::{Partitions, ask};
use super::task::blocking;
use crate::delivery::key::Sequence;
use crate::event::{PluginName, Position};
use crate::store::{Owner, Store};

impl Partitions {
    /// Has set-aside events handed over again.
    pub(super) fn retry(
        &self,
        (plugin, owner): (PluginName, Owner),
        store: Arc<dyn Store>,
        retry: Retry,
    ) -> impl Future<Output = Result<Redriven, CommandError>> + use<> {
        let partitions = self.senders();
        async move {
            let (sequence, head) = match retry {
                Retry::All => {
                    let mut sum = Redriven::default();
                    let asked =
                        partitions.iter().map(|orders| ask(&plugin, orders, |answer| Order::Retry(Lines::All, answer)));
                    for redriven in futures::future::join_all(asked).await {
                        sum = sum.plus(redriven??);
                    }
                    let empty = sum.sequences == 0;
                    return if empty { Err(CommandError::NothingSetAside { plugin }) } else { Ok(sum) };
                }
                Retry::Key(key) => (Sequence::Key(key.as_str().into()), None),
                Retry::Position(position) => (sequence_of(&plugin, &owner, store, position).await?, Some(position)),
            };
            let orders = orders_of(&plugin, &partitions, &sequence)?;
            ask(&plugin, orders, |answer| Order::Retry(Lines::One(sequence, head), answer)).await?
        }
    }

    /// Has set-aside events dropped, but not those of events that are appended after this is asked for.
    pub(super) fn discard(
        &self,
        (plugin, owner): (PluginName, Owner),
        store: Arc<dyn Store>,
        letters: Letters,
    ) -> impl Future<Output = Result<u64, CommandError>> + use<> {
        let (partitions, through) = (self.senders(), store.head());
        async move {
            let (asked, lines, none) = match letters {
                Letters::All => {
                    (partitions.iter().collect(), Lines::All, CommandError::NothingSetAside { plugin: plugin.clone() })
                }
                Letters::Key(key) => {
                    let sequence = Sequence::Key(key.as_str().into());
                    let orders = orders_of(&plugin, &partitions, &sequence)?;
                    let none = CommandError::NoSuchKey { plugin: plugin.clone(), key };
                    (vec![orders], Lines::One(sequence, None), none)
                }
                Letters::Position(position) => {
                    let sequence = sequence_of(&plugin, &owner, store, position).await?;
                    let orders = orders_of(&plugin, &partitions, &sequence)?;
                    let none = CommandError::NoSuchDeadLetter { plugin: plugin.clone(), position };
                    (vec![orders], Lines::One(sequence, Some(position)), none)
                }
            };
            let mut gone = 0;
            for orders in asked {
                gone += ask(&plugin, orders, |answer| Order::Discard(lines.clone(), through, answer)).await??;
            }
            if gone == 0 { Err(none) } else { Ok(gone) }
        }
    }
}

/// Where the partition of a sequence takes orders.
fn orders_of<'a>(
    plugin: &PluginName,
    partitions: &'a [mpsc::Sender<Order>],
    sequence: &Sequence,
) -> Result<&'a mpsc::Sender<Order>, CommandError> {
    let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
    let index = usize::try_from(sequence.partition(count)).unwrap_or_default();
    partitions.get(index).ok_or_else(|| CommandError::Stopped { plugin: plugin.clone() })
}

/// What a set-aside event keeps the order of.
async fn sequence_of(
    plugin: &PluginName,
    owner: &Owner,
    store: Arc<dyn Store>,
    position: Position,
) -> Result<Sequence, CommandError> {
    let owner = owner.clone();
    let letter = blocking(move || store.dead_letter(&owner, position)).await?;
    let letter = letter.filter(|letter| !letter.is_discarded());
    let letter = letter.ok_or_else(|| CommandError::NoSuchDeadLetter { plugin: plugin.clone(), position })?;
    Ok(Sequence::of_row(letter.key.as_deref(), position))
}
