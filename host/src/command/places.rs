//! Places for commands under way: a bounded number, of which no kind of aggregate takes all.
//!
//! A kind takes another place only while it has fewer than are free. So one that is slow stops at half of them, two stop
//! at a third each, and whoever comes next finds some (the dynamic thresholds of Choudhury and Hahne, 1998).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::event::Category;

/// The places. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<watch::Sender<Taken>>);

#[derive(Debug)]
struct Taken {
    free: usize,
    /// What each kind has, if anything.
    by: HashMap<Category, usize>,
}

/// Tells when a place was given back.
pub(super) struct GivenBack(watch::Receiver<Taken>);

/// A place. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    category: Category,
}

impl Places {
    /// So many places, all of them free.
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(watch::Sender::new(Taken { free: places, by: HashMap::new() })))
    }

    /// Takes a place for a kind of aggregate; else says how many that has.
    pub(super) fn take(&self, category: &Category) -> Result<Place, usize> {
        let mut refused = None;
        self.0.send_if_modified(|taken| {
            let has = taken.by.get(category).copied().unwrap_or_default();
            if has >= taken.free {
                refused = Some(has);
            } else {
                taken.free -= 1;
                taken.by.insert(category.clone(), has + 1);
            }
            false
        });
        match refused {
            Some(has) => Err(has),
            None => Ok(Place { places: self.clone(), category: category.clone() }),
        }
    }

    /// Takes a place for a kind of aggregate as soon as it may have one.
    async fn wait(&self, category: &Category) -> Place {
        loop {
            // From here on none that is given back is missed.
            let mut given_back = self.given_back();
            if let Ok(place) = self.take(category) {
                return place;
            }
            given_back.next().await;
        }
    }

    /// What tells of places that are given back from now on.
    pub(super) fn given_back(&self) -> GivenBack {
        GivenBack(self.0.subscribe())
    }

    /// Waits until no place is taken.
    pub(super) async fn idle(&self) {
        // The sender lives in `self`, so waiting ends only by that.
        let _ = self.0.subscribe().wait_for(|taken| taken.by.is_empty()).await;
    }
}

impl GivenBack {
    /// Waits until one was given back since the last time. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) {
        // It would fail where nobody has the places any more.
        let _ = self.0.changed().await;
    }
}

impl Place {
    /// Gives it back for so long, and takes one again then, as soon as there is one.
    pub(super) async fn rest(self, pause: Duration) -> Self {
        let (places, category) = (self.places.clone(), self.category.clone());
        drop(self);
        tokio::time::sleep(pause).await;
        places.wait(&category).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.send_modify(|taken| {
            taken.free += 1;
            let has = taken.by.remove(&self.category).unwrap_or_default();
            if has > 1 {
                taken.by.insert(self.category.clone(), has - 1);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn whoever_takes_many_leaves_some_to_others() {
        let places = Places::new(12);
        let [a, b, c] = ["a", "b", "c"].map(|name| Category::new(name).unwrap());
        let take = |category: &Category| -> Vec<Place> { std::iter::from_fn(|| places.take(category).ok()).collect() };
        let of_a = take(&a);
        assert_eq!((of_a.len(), places.take(&a).unwrap_err()), (6, 6));
        let of_b = take(&b);
        assert_eq!((of_b.len(), take(&c).len()), (3, 2));
        assert!(places.idle().now_or_never().is_none());
        drop(of_a);
        assert_eq!(take(&b).len(), 3, "there is room again");
        drop(of_b);
        places.idle().await;
        assert_eq!(take(&c).len(), 6, "all of them are back");
    }

    #[tokio::test]
    async fn who_rests_has_no_place_and_takes_the_next_that_is_given_back() {
        let places = Places::new(1);
        let [a, b] = ["a", "b"].map(|name| Category::new(name).unwrap());
        let place = places.take(&a).unwrap();
        let mut given_back = places.given_back();
        assert!(given_back.next().now_or_never().is_none());
        let mut resting = Box::pin(place.rest(Duration::from_secs(3600)));
        assert!(resting.as_mut().now_or_never().is_none());
        assert!(given_back.next().now_or_never().is_some() && given_back.next().now_or_never().is_none());
        let other = places.take(&b).unwrap();
        let mut waiting = Box::pin(places.wait(&a));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(other);
        let place = waiting.as_mut().now_or_never().expect("it was given back");
        drop(place);
        places.idle().await;
    }
}
