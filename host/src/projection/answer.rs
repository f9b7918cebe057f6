//! Queries, what answers them, and the answers.

use std::time::Duration;

use super::{Moment, QueryRefused};
use crate::delivery::{Evidence, Fault};

/// Longest name of a query, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Most parameters of a query.
const PARAMETERS_MAX: usize = 256;
/// Most bytes of all names and values of a query's parameters.
const PARAMETER_BYTES_MAX: usize = 64 << 10;

/// What somebody wants to know of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Which query: a name of the component's own.
    pub name: String,
    /// Names and values, in the order given.
    pub parameters: Vec<(String, String)>,
    /// How long it may wait: for its turn, and for the version that is live to be what runs.
    pub wait: Duration,
}

impl Query {
    /// Holds it to its bounds.
    ///
    /// # Errors
    /// When it is over one of them.
    pub fn check(&self) -> Result<(), QueryRefused> {
        let refuse = |reason: String| Err(QueryRefused::Invalid { reason });
        let (bytes, count) = (self.name.len(), self.parameters.len());
        if bytes == 0 || bytes > NAME_BYTES_MAX {
            return refuse(format!("the query's name has {bytes} bytes; 1 to {NAME_BYTES_MAX} are allowed"));
        }
        if count > PARAMETERS_MAX {
            return refuse(format!("the query has {count} parameters; at most {PARAMETERS_MAX} are allowed"));
        }
        let bytes: usize = self.parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > PARAMETER_BYTES_MAX {
            return refuse(format!(
                "the query's parameters have {bytes} bytes; at most {PARAMETER_BYTES_MAX} are allowed"
            ));
        }
        Ok(())
    }
}

/// What a plugin answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its media type: visible ASCII and spaces.
    pub content_type: String,
    /// The answer.
    pub body: Vec<u8>,
}

/// Why a plugin gave no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum NoAnswer {
    /// It has no such query.
    Unknown,
    /// A parameter is wrong, in its words.
    Invalid(String),
    /// It could not answer, in its words.
    Failed(String),
    /// It ended without a word.
    Fault {
        /// How.
        fault: Fault,
        /// Why, and what to do.
        reason: String,
        /// What it left behind.
        evidence: Evidence,
    },
}

impl NoAnswer {
    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Invalid(_) => "invalid",
            Self::Failed(_) => "failed",
            Self::Fault { fault, .. } => fault.as_str(),
        }
    }
}

/// Code that answers queries.
pub trait Projection: Send + 'static {
    /// Starts what it needs to answer, as far as that is not there: before the moment that it answers as of, which it so
    /// does not age. What fails is told by the query. Blocks.
    fn start(&mut self) {}

    /// Answers a query as of a moment. Blocks; called on a blocking thread, never twice at a time. After a fault it
    /// must be ready for the next call as if it were new.
    ///
    /// # Errors
    /// When it does not.
    fn query(&mut self, query: &Query, moment: Moment) -> Result<Answer, NoAnswer>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_bounded() {
        let query =
            |name: &str, parameters: Vec<(String, String)>| Query { name: name.into(), parameters, ..Query::default() };
        let parameter = |bytes: usize| ("p".to_owned(), "x".repeat(bytes));
        assert!(query("top", vec![parameter(60 << 10)]).check().is_ok());
        let over = [query("", vec![]), query(&"n".repeat(256), vec![]), query("q", vec![parameter(1); 257])];
        for query in over.into_iter().chain([query("q", vec![parameter(64 << 10)])]) {
            let refused = query.check().unwrap_err().to_string();
            assert!(refused.contains("allowed"), "{refused}");
        }
    }
}
