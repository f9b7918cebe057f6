//! Writes the values of the keys that the manifest's `keys` lists, separated by commas, under `config/<key>`.

use test_guests::{Event, Failure, config, count, each, put};

fn handle(events: &[Event]) -> Result<(), Failure> {
    let keys = config::get("keys").unwrap_or_default();
    each(events, |_| {
        for key in keys.split(',') {
            put(&format!("config/{key}"), &config::get(key).unwrap_or_else(|| "(none)".into()))?;
        }
        count()
    })
}

test_guests::subscriber!(handle);
