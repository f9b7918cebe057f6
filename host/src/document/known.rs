//! The keys that may stand in a table, and the help for those that may not.

use crate::nearest::nearest;

/// What may stand in one table.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The table's name; empty for the top level.
    pub(crate) name: &'a str,
    /// Its keys.
    pub(crate) keys: &'a [&'a str],
    /// Keys of later releases.
    pub(crate) later: &'a [&'a str],
    /// Whether any key may stand here.
    pub(crate) any: bool,
    /// Whether it is written `key = { .. }`.
    pub(crate) inline: bool,
}

impl<'a> Known<'a> {
    /// A table that is written `[name]`, with these keys and some that later releases know.
    pub(crate) const fn table(name: &'a str, keys: &'a [&'a str], later: &'a [&'a str]) -> Self {
        Self { name, keys, later, any: false, inline: false }
    }

    /// A key of this table, as errors name it.
    pub(crate) fn describe(&self, key: &str, is_table: bool) -> String {
        match (self.name, is_table) {
            ("", true) => format!("table [{key}]"),
            ("", false) => format!("key {key:?}"),
            (name, _) => format!("key {key:?} in [{name}]"),
        }
    }

    /// What to write instead of an unknown key.
    pub(crate) fn hint(&self, key: &str, tables: &[&Known<'_>]) -> String {
        if let Some(home) = tables.iter().find(|table| !table.name.is_empty() && table.keys.contains(&key)) {
            return format!("{key:?} belongs in [{}]", home.name);
        }
        let all = self.keys.join(", ");
        match nearest(&key.replace('-', "_"), self.keys) {
            Some(nearest) => format!("did you mean {nearest:?}? known here: {all}"),
            None => format!("known here: {all}"),
        }
    }
}
