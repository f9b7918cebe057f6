//! Reads `[aggregate]`.

use super::{ManifestError, backoff, keys};
use crate::command::{AggregatePolicy, Transient};
use crate::document::Section;
use crate::event::{COMMAND_DEADLINE_MS_MAX, Category, RESERVED_TYPE_PREFIX, check_name};

const RETRIES_MAX: u64 = 1000;
const SNAPSHOT_EVERY_MAX: u64 = 1_000_000_000;
const SNAPSHOT_AFTER_MS_MAX: u64 = 600_000;
/// Each costs what the component keeps for it.
const HOT_MAX: u64 = 1_000_000;

/// Reads the section.
pub(super) fn read(section: &Section<'_>) -> Result<AggregatePolicy, ManifestError> {
    let mut policy = AggregatePolicy::default();
    if let Some(value) = section.get("category") {
        const ALLOWED: &str = "the part of streams' names before the first \"-\", such as \"account\"; those that begin with \"$\" are \
             the host's own";
        let category = Category::new(value.text(ALLOWED)?).ok();
        let category = category.filter(|category| !category.as_str().starts_with(RESERVED_TYPE_PREFIX));
        policy.category = Some(category.ok_or_else(|| value.bad(ALLOWED))?);
    }
    if let Some(value) = section.get("commands") {
        let commands = value.texts(|name| check_name("command type", &name).map(|()| name))?;
        if commands.is_empty() {
            return Err(value.bad("at least one type of command; without the key every type is handed over"));
        }
        policy.commands = Some(commands);
    }
    if let Some(value) = section.get("deadline") {
        policy.deadline_ms = Some(value.duration_ms(1..=COMMAND_DEADLINE_MS_MAX)?);
    }
    if let Some(value) = section.get("retries") {
        policy.retries = u32::try_from(value.integer(0..=RETRIES_MAX)?).unwrap_or(u32::MAX);
    }
    if let Some(value) = section.get("retry_on") {
        policy.retry_on = Some(value.texts(transient)?);
    }
    if let Some(value) = section.get("backoff") {
        policy.backoff = backoff(&value.table(&keys::AGGREGATE_BACKOFF)?, policy.backoff)?;
    }
    if let Some(value) = section.get("snapshot_every") {
        policy.snapshot_every = value.integer(0..=SNAPSHOT_EVERY_MAX)?;
    }
    if let Some(value) = section.get("snapshot_after") {
        policy.snapshot_after_ms = value.duration_ms(0..=SNAPSHOT_AFTER_MS_MAX)?;
    }
    if let Some(value) = section.get("hot") {
        policy.hot = usize::try_from(value.integer(1..=HOT_MAX)?).unwrap_or(usize::MAX);
    }
    Ok(policy)
}

fn transient(name: String) -> Result<Transient, String> {
    let found = Transient::ALL.iter().find(|(known, _)| *known == name).map(|(_, class)| *class);
    let known: Vec<_> = Transient::ALL.iter().map(|(known, _)| *known).collect();
    found.ok_or_else(|| crate::nearest::unknown("class of failures", &name, &known))
}

#[cfg(test)]
mod tests {
    use crate::command::Transient;
    use crate::plugin::Manifest;

    #[test]
    fn what_is_said_of_commands_is_read_and_bounded() {
        let text = "[aggregate]\ncategory = \"purse\"\nretries = 0\nbackoff = { initial = \"5ms\", jitter = false }\n\
                    snapshot_every = 7\nsnapshot_after = \"20ms\"\nhot = 3\ncommands = [\"Add\"]\ndeadline = \"2s\"";
        let policy = Manifest::parse("plugin.toml", text).unwrap().aggregate;
        assert_eq!(policy.category.as_ref().map(ToString::to_string).as_deref(), Some("purse"));
        assert_eq!((policy.commands, policy.deadline_ms), (Some(vec!["Add".to_owned()]), Some(2000)));
        assert_eq!(policy.retry_on, None);
        for (text, classes) in
            [("[]", vec![]), ("[\"fault\", \"conflict\"]", vec![Transient::Fault, Transient::Conflict])]
        {
            let manifest = Manifest::parse("plugin.toml", &format!("[aggregate]\nretry_on = {text}")).unwrap();
            assert_eq!(manifest.aggregate.retry_on, Some(classes));
        }
        assert_eq!((policy.retries, policy.snapshot_every, policy.hot), (0, 7, 3));
        assert_eq!(policy.snapshot_after_ms, 20);
        assert_eq!((policy.backoff.initial_ms, policy.backoff.max_ms, policy.backoff.jitter), (5, 100, false));
        for bad in [
            "category = \"a-b\"",
            "category = \"\"",
            "category = \"$commands\"",
            "retry_on = [\"faults\"]",
            "retry_on = \"fault\"",
            "hot = 0",
            "retries = -1",
            "snapshots = 1",
            "commands = []",
            "deadline = 2",
        ] {
            assert!(Manifest::parse("plugin.toml", &format!("[aggregate]\n{bad}")).is_err(), "{bad}");
        }
    }
}
