//! What somebody wants to know.

use serde::de::DeserializeOwned;

use crate::{QueryError, host, json};

/// A query: its name and its parameters. What a parameter cannot be is answered by `?` with
/// [`QueryError::Invalid`], which tells who asks.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    request: &'a host::Request,
}

impl<'a> Query<'a> {
    pub(crate) const fn of(request: &'a host::Request) -> Self {
        Self { request }
    }

    /// Which query, such as `top` or `customer/42`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.request.query
    }

    /// The checkpoint that the state is as of: every matching event up to here is in it, or set aside.
    #[must_use]
    pub const fn checkpoint(&self) -> u64 {
        self.request.checkpoint
    }

    /// Names and values, in the order given.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.request.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every value of a parameter, in the order given.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.parameters().filter(move |(given, _)| *given == name).map(|(_, value)| value)
    }

    /// The value of a parameter, or none if it is not given.
    ///
    /// `T` may be a `String`, a number, a `bool`, an enum without fields, or anything that serde reads from JSON.
    ///
    /// # Errors
    /// When it is given twice, or is no `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, QueryError> {
        let mut values = self.all(name);
        let Some(text) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(QueryError::invalid(format_args!("parameter `{name}` is given twice; give it once")));
        }
        let bad = |error| QueryError::invalid(format_args!("parameter `{name}` is `{text}`: {error}"));
        json::from_plain(text).map(Some).map_err(bad)
    }

    /// The value of a parameter, or `default` if it is not given.
    ///
    /// # Errors
    /// When it is given twice, or is no `T`.
    pub fn get_or<T: DeserializeOwned>(&self, name: &str, default: T) -> Result<T, QueryError> {
        Ok(self.get(name)?.unwrap_or(default))
    }

    /// The value of a parameter that must be given.
    ///
    /// # Errors
    /// When it is not given, is given twice, or is no `T`.
    pub fn require<T: DeserializeOwned>(&self, name: &str) -> Result<T, QueryError> {
        self.get(name)?.ok_or_else(|| QueryError::invalid(format_args!("parameter `{name}` is missing")))
    }

    /// Refuses parameters of other names.
    ///
    /// # Errors
    /// When there is one.
    pub fn only(&self, known: &[&str]) -> Result<(), QueryError> {
        match self.parameters().find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((name, _)) if known.is_empty() => {
                Err(QueryError::invalid(format_args!("unknown parameter `{name}`; the query takes none")))
            }
            Some((name, _)) => {
                Err(QueryError::invalid(format_args!("unknown parameter `{name}`; known are {}", known.join(", "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(parameters: &[(&str, &str)]) -> host::Request {
        let parameters = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        host::Request { query: "q".into(), parameters, checkpoint: 7, context: None }
    }

    #[test]
    fn parameters_are_read_as_what_they_are_meant_to_be() {
        let request = request(&[("limit", "3"), ("tag", "a"), ("name", "42"), ("tag", "b"), ("deep", "[1]")]);
        let query = Query::of(&request);
        assert_eq!((query.get("limit"), query.get::<u8>("none")), (Ok(Some(3_u8)), Ok(None)));
        assert_eq!(query.require::<String>("name"), Ok("42".into()));
        assert_eq!(query.require::<Vec<u8>>("deep"), Ok(vec![1]));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.only(&["limit", "tag", "name", "deep"]), Ok(()));
        let told = |error: QueryError| error.to_string();
        assert_eq!(told(query.get::<String>("tag").unwrap_err()), "parameter `tag` is given twice; give it once");
        assert!(
            told(query.get::<u8>("name").and(query.get::<bool>("limit")).unwrap_err()).contains("`limit` is `3`: ")
        );
        assert_eq!(told(query.require::<u8>("x").unwrap_err()), "parameter `x` is missing");
        assert!(told(query.only(&["limit"]).unwrap_err()).contains("`tag`; known are limit"));
    }
}
