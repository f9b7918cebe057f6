//! What data of a type of command must look like: one JSON Schema for a type, held to where there is one.

use std::collections::BTreeMap;

use super::types::{InvalidSchema, TypeSchema};

/// One document of a type of command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSchemaFile {
    /// Where it is, as errors name it.
    pub origin: String,
    /// The kind of aggregate.
    pub aggregate: String,
    /// The type of command.
    pub command_type: String,
    /// Its text.
    pub text: String,
}

/// The documents of all types of commands.
#[derive(Debug, Default)]
pub struct CommandSchemas(BTreeMap<String, BTreeMap<String, TypeSchema>>);

impl CommandSchemas {
    /// Reads documents.
    ///
    /// # Errors
    /// The first one that is none, or reaches outside.
    pub fn read(files: Vec<CommandSchemaFile>) -> Result<Self, InvalidSchema> {
        let mut all = Self::default();
        for CommandSchemaFile { origin, aggregate, command_type, text } in files {
            let schema = TypeSchema::read(&origin, &text).map_err(|reason| InvalidSchema { origin, reason })?;
            all.0.entry(aggregate).or_default().insert(command_type, schema);
        }
        Ok(all)
    }

    /// The document of a type of command of an aggregate.
    #[must_use]
    pub fn get(&self, aggregate: &str, command_type: &str) -> Option<&TypeSchema> {
        self.0.get(aggregate)?.get(command_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CommandSchemas, InvalidSchema> {
        let [origin, aggregate, command_type] = ["x.json", "account", "Withdraw"].map(str::to_owned);
        CommandSchemas::read(vec![CommandSchemaFile { origin, aggregate, command_type, text: text.into() }])
    }

    #[test]
    fn data_is_held_to_the_document_of_its_type() {
        let schemas = read(r#"{"type":"object","properties":{"cents":{"minimum":1}},"required":["cents"]}"#).unwrap();
        assert!(schemas.get("account", "Open").is_none() && schemas.get("order", "Withdraw").is_none());
        let schema = schemas.get("account", "Withdraw").unwrap();
        assert_eq!(schema.check_data(br#"{"cents":1}"#), Ok(()));
        let errors = schema.check_data(br#"{"cents":0}"#).unwrap_err();
        assert_eq!(errors[0].path, "/cents", "{errors:?}");
        assert!(schema.check_data(b"\x00").is_err(), "what is no JSON does not fit");
    }

    #[test]
    fn one_that_reaches_outside_is_refused_by_name() {
        let error = read(r#"{"$ref":"https://example.com/a.json"}"#).unwrap_err().to_string();
        assert!(error.starts_with("x.json: ") && error.contains("outside the document"), "{error}");
    }
}
