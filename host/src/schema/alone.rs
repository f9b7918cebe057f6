//! Where data are held to schemas that take much for it: on a stack of its own, for one at a time in the process, so that
//! the memory of all is that of one.

use std::io;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::effort::{Allowance, STACK_BYTES};

/// Held by who holds data to schemas that take much for it.
static ALONE: Mutex<()> = Mutex::new(());

/// How long data wait for a thread that did not start until that is tried again.
const BETWEEN_STARTS: Duration = Duration::from_millis(20);

/// Holds data to schemas while nobody else does so here, within all that this may take. Blocks until that is done.
pub fn alone<T: Send>(check: impl Fn(&mut Allowance) -> T + Sync) -> T {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let check = || check(&mut Allowance::most());
    thread::scope(|scope| {
        let thread = || thread::Builder::new().name("schema".to_owned()).stack_size(STACK_BYTES);
        let checked = started(|| thread().spawn_scoped(scope, check));
        checked.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Starts what may not start now, however often it takes: that says nothing of the data, which must not be refused for it.
fn started<T>(mut start: impl FnMut() -> io::Result<T>) -> T {
    let mut is_told = false;
    loop {
        match start() {
            Ok(started) => return started,
            Err(error) if !is_told => tracing::warn!(%error, "no thread starts to hold data to a schema; they wait"),
            Err(_) => {}
        }
        is_told = true;
        thread::sleep(BETWEEN_STARTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_start_is_tried_again() {
        let mut tries = 0;
        let start = || {
            tries += 1;
            if tries < 3 { Err(io::Error::from(io::ErrorKind::WouldBlock)) } else { Ok("started") }
        };
        assert_eq!(started(start), "started");
        assert_eq!(tries, 3);
    }
}
