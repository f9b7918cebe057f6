//! The query string: known names only, each value checked, errors that name the parameter.

use super::percent::decode_query;
use super::problem::Problem;
use crate::event::Position;
use crate::nearest::unknown;

/// Most parameters in one query string.
const PARAMS_MAX: usize = 256;

/// The parameters of a request, decoded, in order.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes a query string and refuses names that are not `known`.
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let (params, others) = Self::split(query, known)?;
        match others.into_iter().next() {
            None => Ok(params),
            Some((name, _)) => Err(Problem::invalid(unknown("parameter", &name, known)).with("parameter", name)),
        }
    }

    /// Decodes a query string; answers apart from those that are `known` all others, in order.
    pub(super) fn split(query: Option<&str>, known: &[&str]) -> Result<(Self, Vec<(String, String)>), Problem> {
        let (mut pairs, mut others) = (Vec::new(), Vec::new());
        for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            if pairs.len() + others.len() == PARAMS_MAX {
                return Err(Problem::invalid(format!("more than {PARAMS_MAX} query parameters")));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (Some(name), Some(value)) = (decode_query(name), decode_query(value)) else {
                return Err(Problem::invalid(format!("query parameter {part:?} is not percent-encoded UTF-8")));
            };
            if known.contains(&name.as_str()) {
                pairs.push((name, value));
            } else {
                others.push((name, value));
            }
        }
        Ok((Self(pairs), others))
    }

    /// Every value of a parameter.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be given once.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => {
                Err(Problem::invalid(format!("parameter `{name}` is given twice; give it once"))
                    .with("parameter", name))
            }
        }
    }

    /// A whole number.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>, Problem> {
        self.one(name)?
            .map(|text| text.parse().map_err(|_| bad_value(name, text, "give a whole number, 0 or more")))
            .transpose()
    }

    /// A yes or no; no when it is absent.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.one(name)? {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(text) => Err(bad_value(name, text, "give `true` or `false`")),
        }
    }

    /// A position.
    pub(super) fn position(&self, name: &'static str) -> Result<Option<Position>, Problem> {
        Ok(self.number(name)?.map(Position))
    }

    /// A time, as microseconds since the Unix epoch.
    pub(super) fn time_us(&self, name: &'static str) -> Result<Option<u64>, Problem> {
        const ALLOWED: &str = "give a time since 1970 as in RFC 3339, such as 2026-01-31T12:00:00Z";
        let Some(text) = self.one(name)? else { return Ok(None) };
        crate::clock::rfc3339_us(text).map(Some).ok_or_else(|| bad_value(name, text, ALLOWED))
    }

    /// How many items to answer with: 1 to `max`.
    pub(super) fn limit(&self, default: usize, max: usize) -> Result<usize, Problem> {
        let Some(given) = self.number("limit")? else { return Ok(default) };
        match usize::try_from(given) {
            Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
            _ => Err(bad_value("limit", &given.to_string(), &format!("give 1 to {max}"))),
        }
    }
}

/// A parameter whose value will not do.
pub(super) fn bad_value(name: &str, text: &str, allowed: &str) -> Problem {
    let shown: String = text.chars().take(64).collect();
    Problem::invalid(format!("parameter `{name}` is {shown:?}; {allowed}")).with("parameter", name)
}
