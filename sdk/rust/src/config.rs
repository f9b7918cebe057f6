//! The `[config]` table of the plugin's manifest.

use serde::de::DeserializeOwned;

use crate::{Error, host, json};

/// The `[config]` table of the plugin's manifest.
///
/// It does not change while a [`Subscriber`](crate::Subscriber) lives: an edited manifest brings a new
/// one. So read it in [`Subscriber::start`](crate::Subscriber::start).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Config;

impl Config {
    /// The value of a key, or none if it is not there.
    ///
    /// `T` may be a `String`, a number, a `bool`, an enum without fields, or anything that serde reads
    /// from JSON, for arrays and tables.
    ///
    /// # Errors
    /// [`Error::Config`] when the value is not a `T`.
    pub fn get<T: DeserializeOwned>(self, key: &str) -> Result<Option<T>, Error> {
        host::config::get(key).map(|text| parse(key, &text)).transpose()
    }

    /// The value of a key, or `default` if it is not there.
    ///
    /// # Errors
    /// [`Error::Config`] when the value is not a `T`.
    pub fn get_or<T: DeserializeOwned>(self, key: &str, default: T) -> Result<T, Error> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// The value of a key that must be there.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not there or not a `T`.
    pub fn require<T: DeserializeOwned>(self, key: &str) -> Result<T, Error> {
        let missing = || Error::Config { key: key.into(), detail: "missing; add it under [config]".into() };
        self.get(key)?.ok_or_else(missing)
    }
}

/// Text arrives as it is and everything else as JSON.
fn parse<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, Error> {
    json::from_plain(text)
        .map_err(|error| Error::Config { key: key.into(), detail: format!("`{text}` is not usable: {error}") })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Strict,
        Loose,
    }

    #[test]
    fn text_numbers_enums_and_arrays_are_read() {
        assert_eq!(parse::<String>("k", "42").unwrap(), "42");
        assert_eq!(parse::<String>("k", "EUR").unwrap(), "EUR");
        assert_eq!(parse::<u64>("k", "42").unwrap(), 42);
        assert!(parse::<bool>("k", "true").unwrap());
        assert_eq!(parse::<Mode>("k", "loose").unwrap(), Mode::Loose);
        assert_eq!(parse::<Vec<String>>("k", r#"["a","b"]"#).unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_bad_value_names_key_and_value() {
        let error = parse::<u64>("limit_cents", "lots").unwrap_err().to_string();
        assert!(error.contains("`limit_cents`") && error.contains("`lots`"), "{error}");
        assert!(parse::<Mode>("mode", "odd").unwrap_err().to_string().contains("`odd`"));
    }
}
