//! Writes what it sees of time, chance and floating point under `seen/<position>`, and a sum over all of it
//! under `sum`. Does so only for events of type `Looked`, unless `always` is true. For one of type `Napped` waits an
//! hour, and writes what the monotonic clock says under `nap/<position>`; for one of type `Spun` looks at the time, works
//! a while, and logs a hundred bytes.

use std::time::{SystemTime, UNIX_EPOCH};

use test_guests::log::{self, Level};
use test_guests::{Event, Failure, add, config, count, each, put};
use wasip2::clocks::monotonic_clock;
use wasip2::random::random::get_random_u64;

fn handle(events: &[Event]) -> Result<(), Failure> {
    let always = config::get("always").as_deref() == Some("true");
    each(events, |event| {
        if always || event.event_type == "Looked" {
            let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros());
            let (chance, nan) = (get_random_u64(), not_a_number());
            put(&format!("seen/{}", event.position), &format!("{now_us} {chance} {nan:016x}"))?;
            add("sum", chance >> 8)?;
        }
        if event.event_type == "Napped" {
            std::thread::sleep(std::time::Duration::from_secs(3600));
            put(&format!("nap/{}", event.position), &monotonic_clock::now().to_string())?;
        }
        if event.event_type == "Spun" {
            let since = SystemTime::now();
            (0..100_000_u64).for_each(|round| {
                std::hint::black_box((round, since));
            });
            log::log(Level::Info, &"x".repeat(100));
        }
        count()
    })
}

/// The bits of a number that is none, computed so that no compiler knows it.
fn not_a_number() -> u64 {
    let zero = std::hint::black_box(0.0_f64);
    let nan = zero / std::hint::black_box(0.0_f64);
    let odd = std::hint::black_box(f64::from_bits(0xfff8_0000_dead_beef));
    (-nan * odd).to_bits()
}

test_guests::subscriber!(handle);
