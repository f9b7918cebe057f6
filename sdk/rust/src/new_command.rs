//! A command to send.

use serde::Serialize;

use crate::{Error, host, json};

/// A command to send with [`Context::dispatch`](crate::Context::dispatch).
#[derive(Clone, Debug)]
#[must_use = "a command is sent by Context::dispatch"]
pub struct NewCommand {
    fields: host::NewCommand,
    /// Why the data could not be written; told when the command is sent.
    encode_error: Option<String>,
}

impl NewCommand {
    /// A command of this type to one aggregate, with data that serde writes as JSON. Data that cannot be written are
    /// reported when the command is sent.
    pub fn json<T: Serialize + ?Sized>(
        aggregate: impl Into<String>,
        key: impl Into<String>,
        command_type: impl Into<String>,
        data: &T,
    ) -> Self {
        let (text, encode_error) = match json::to_string(data) {
            Ok(text) => (text, None),
            Err(error) => (String::new(), Some(error)),
        };
        let fields = host::NewCommand {
            id: None,
            aggregate: aggregate.into(),
            key: key.into(),
            command_type: command_type.into(),
            data: host::Payload::Json(text),
            content_type: None,
            metadata: Vec::new(),
        };
        Self { fields, encode_error }
    }

    /// Gives it an identity: of two with one id the second is not decided. Without one, it follows from the event at
    /// hand.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.fields.id = Some(id.into());
        self
    }

    /// Adds a metadata entry, which the events that follow get.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.metadata.push((key.into(), value.into()));
        self
    }

    pub(crate) fn into_host(self) -> Result<host::NewCommand, Error> {
        match self.encode_error {
            None => Ok(self.fields),
            Some(detail) => Err(Error::Encode { what: format!("data of {}", self.fields.command_type), detail }),
        }
    }
}
