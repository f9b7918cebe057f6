//! Looks for everything that a plugin must not see, and writes what it found under `probe/<what>`.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

use test_guests::{Event, Failure, count, each, put};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |_| {
        put("probe/directory", &told(fs::read_dir("/").map(Iterator::count)))?;
        put("probe/read", &told(fs::read_to_string("/etc/passwd").map(|text| text.len())))?;
        put("probe/write", &told(fs::write("/tmp/tidemill-probe", "x")))?;
        put("probe/environment", &env::vars().count().to_string())?;
        put("probe/arguments", &env::args().count().to_string())?;
        put("probe/stdin", &told(io::read_to_string(io::stdin()).map(|text| text.len())))?;
        put("probe/clock_us", &told(SystemTime::now().duration_since(UNIX_EPOCH).map(|time| time.as_micros())))?;
        put("probe/elapsed_ns", &Instant::now().elapsed().as_nanos().to_string())?;
        put("probe/random", &RandomState::new().hash_one(0_u8).to_string())?;
        count()
    })
}

fn told<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(value) => format!("ok: {value:?}"),
        Err(error) => format!("error: {error}"),
    }
}

test_guests::subscriber!(handle);
