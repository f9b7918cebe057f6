//! Whose rows: one generation of what a plugin keeps.

use std::fmt;
use std::str::FromStr;

use crate::event::{NameError, PluginName};

/// One generation of a plugin's data: state, dead letters, and the progress of its partitions. A plugin whose
/// state is built anew has two of them for a while.
///
/// As text it is `name` for generation 0, and `name@3` for generation 3.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The plugin.
    pub plugin: PluginName,
    /// Which of its generations. Numbers are never used again.
    pub generation: u32,
}

impl From<PluginName> for Owner {
    /// The first generation.
    fn from(plugin: PluginName) -> Self {
        Self { plugin, generation: 0 }
    }
}

impl From<&PluginName> for Owner {
    /// The first generation.
    fn from(plugin: &PluginName) -> Self {
        plugin.clone().into()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => self.plugin.fmt(f),
            generation => write!(f, "{}@{generation}", self.plugin),
        }
    }
}

impl FromStr for Owner {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let split = text.split_once('@').and_then(|(name, generation)| Some((name, generation.parse().ok()?)));
        // What is not a number is left to the name, which allows no '@'.
        let (name, generation) = split.unwrap_or((text, 0));
        let owner = Self { plugin: PluginName::new(name)?, generation };
        if owner.to_string() == text { Ok(owner) } else { PluginName::new(text).map(Self::from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_survives_as_text_and_has_one_form() {
        for (text, generation) in [("p", 0), ("p@1", 1), ("a.b-c@4294967295", u32::MAX)] {
            let owner: Owner = text.parse().unwrap();
            assert_eq!((owner.generation, owner.to_string().as_str()), (generation, text));
        }
        for text in ["", "p@", "@1", "p@x", "p@0", "p@01", "p@+1", "p@1@2", "p@4294967296", "a/b"] {
            assert!(text.parse::<Owner>().is_err(), "{text:?}");
        }
    }
}
