//! In which schema events are read.

use clap::{Args, ValueEnum};

use super::query::Query;

/// In which schema events are read.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct SchemaArgs {
    /// Lift events to today's schema, or show them as they are stored
    #[arg(long, value_name = "SCHEMA", value_enum, default_value_t)]
    pub(super) schema: Schema,
}

/// A schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Schema {
    /// Today's; --type means today's types.
    #[default]
    Current,
    /// That of the log.
    Stored,
}

impl Query {
    /// Adds the schema, where it is not what a server takes without a word.
    pub(super) fn with_schema(self, args: SchemaArgs) -> Self {
        match args.schema {
            Schema::Current => self,
            Schema::Stored => self.with("schema", "stored"),
        }
    }
}
