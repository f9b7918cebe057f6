//! The plugin's durable key-value state.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, host, json, recent};

/// Entries asked for at a time while scanning.
const SCAN_PAGE_ENTRIES: u32 = 256;

/// The plugin's own durable key-value state; no other plugin sees it.
///
/// Reads see committed state and this batch's own writes; most keys that the batch has read or written are
/// answered without asking the host. Writes commit together with the checkpoint.
/// Keys are text of 1 to 1,024 bytes, in the order of their bytes; values at most 1 MiB.
///
/// Every method fails with [`Error::Invalid`] when a key or value is out of bounds, with
/// [`Error::LimitExceeded`] when the plugin's state is full, and with [`Error::Unavailable`] when the
/// store cannot answer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct State;

impl State {
    /// The bytes under a key, if there are any.
    ///
    /// # Errors
    /// See [`State`].
    pub fn get(self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(recent::get(key, |value| value.map(<[u8]>::to_vec))?)
    }

    /// Sets the bytes under a key.
    ///
    /// # Errors
    /// See [`State`].
    pub fn set(self, key: &str, value: &[u8]) -> Result<(), Error> {
        Ok(recent::set(key, value)?)
    }

    /// Removes a key; one that is not there is fine.
    ///
    /// # Errors
    /// See [`State`].
    pub fn delete(self, key: &str) -> Result<(), Error> {
        Ok(recent::delete(key)?)
    }

    /// The JSON value under a key, if there is one.
    ///
    /// # Errors
    /// [`Error::State`] when it is not a `T`; else see [`State`].
    pub fn get_json<T: DeserializeOwned>(self, key: &str) -> Result<Option<T>, Error> {
        self.get(key)?.map(|bytes| decode(key, &bytes)).transpose()
    }

    /// Sets the value under a key, as JSON.
    ///
    /// # Errors
    /// [`Error::Encode`] when it cannot be written as JSON; else see [`State`].
    pub fn set_json<T: Serialize + ?Sized>(self, key: &str, value: &T) -> Result<(), Error> {
        let text =
            json::to_string(value).map_err(|detail| Error::Encode { what: format!("state under `{key}`"), detail })?;
        self.set(key, text.as_bytes())
    }

    /// Changes the JSON value under a key, beginning with `T::default()` where there is none, and
    /// answers what `change` answers.
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json) and [`set_json`](Self::set_json).
    pub fn update<T, R>(self, key: &str, change: impl FnOnce(&mut T) -> R) -> Result<R, Error>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        let mut value = self.get_json(key)?.unwrap_or_default();
        let answer = change(&mut value);
        self.set_json(key, &value)?;
        Ok(answer)
    }

    /// The number under a key, 0 if there is none. Numbers are kept as decimal text, so they are JSON
    /// too and people can read them.
    ///
    /// # Errors
    /// [`Error::State`] when it is not a number from 0 to `u64::MAX`; else see [`State`].
    pub fn count(self, key: &str) -> Result<u64, Error> {
        recent::get(key, |value| value.map_or(Ok(0), |bytes| parse_count(key, bytes)))?
    }

    /// Sets the number under a key.
    ///
    /// # Errors
    /// See [`State`].
    pub fn set_count(self, key: &str, value: u64) -> Result<(), Error> {
        // On the stack: state is set for every event, so nothing is allocated for it.
        self.set(key, json::write_digits(value, &mut [0; _]).as_bytes())
    }

    /// Adds to the number under a key and answers the sum, which stops at `u64::MAX`.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn add(self, key: &str, by: u64) -> Result<u64, Error> {
        let sum = self.count(key)?.saturating_add(by);
        self.set_count(key, sum)?;
        Ok(sum)
    }

    /// Takes from the number under a key and answers the rest, which stops at 0.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn subtract(self, key: &str, by: u64) -> Result<u64, Error> {
        let rest = self.count(key)?.saturating_sub(by);
        self.set_count(key, rest)?;
        Ok(rest)
    }

    /// The entries whose key begins with `prefix`, in key order. Fetches them page by page.
    #[must_use]
    pub fn scan(self, prefix: impl Into<String>) -> Scan {
        Scan { prefix: prefix.into(), page: VecDeque::new(), next: Next::Page(None) }
    }

    /// The entries whose key begins with `prefix`, in key order, their values read as JSON.
    pub fn scan_json<T: DeserializeOwned>(
        self,
        prefix: impl Into<String>,
    ) -> impl Iterator<Item = Result<(String, T), Error>> {
        self.scan(prefix).map(|entry| {
            let (key, bytes) = entry?;
            let value = decode(&key, &bytes)?;
            Ok((key, value))
        })
    }
}

fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Error> {
    json::from_slice(bytes).map_err(|detail| Error::State { key: key.into(), detail })
}

fn parse_count(key: &str, bytes: &[u8]) -> Result<u64, Error> {
    let text = str::from_utf8(bytes).unwrap_or("(not UTF-8)");
    text.parse().map_err(|_| Error::State { key: key.into(), detail: format!("`{text}` is not a count") })
}

/// The entries of a [`State::scan`], as keys with their bytes. Ends after the first error.
#[derive(Debug)]
pub struct Scan {
    prefix: String,
    page: VecDeque<host::Entry>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// Another page, after this key if given.
    Page(Option<String>),
    End,
}

impl Scan {
    /// Begins strictly after this key.
    #[must_use]
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.next = Next::Page(Some(key.into()));
        self
    }

    /// Fetches pages until one has entries or there are no more.
    fn fetch(&mut self) -> Result<(), Error> {
        while let (true, Next::Page(after)) = (self.page.is_empty(), &self.next) {
            let page = host::state::scan(&self.prefix, after.as_deref(), SCAN_PAGE_ENTRIES)?;
            self.page = page.entries.into();
            self.next = page.next.map_or(Next::End, |next| Next::Page(Some(next)));
        }
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = Result<(String, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.fetch() {
            self.next = Next::End;
            return Some(Err(error));
        }
        self.page.pop_front().map(|entry| Ok((entry.key, entry.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_decimal_text() {
        for value in [0, 7, 10, 99, 1_234_567_890, u64::MAX] {
            let mut digits = [0; _];
            let text = json::write_digits(value, &mut digits);
            assert_eq!(text, value.to_string());
            assert_eq!(parse_count("k", text.as_bytes()), Ok(value));
        }
        let error = parse_count("n", b"many").unwrap_err().to_string();
        assert_eq!(error, "state under `n` is not as this version expects: `many` is not a count");
    }
}
