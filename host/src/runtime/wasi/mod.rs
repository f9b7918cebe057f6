//! The parts of WASI that are the host's own: clocks that follow the events, a seeded random source, and
//! standard streams that end in the log.
//!
//! Everything else of WASI that is linked comes from the library, on a context with nothing in it.
//! Nothing here waits: a guest that sleeps is answered at once, so no call can sit in the host past its
//! deadline.

mod clock;
mod random;
mod stdio;

pub(super) use clock::EventClock;
pub(super) use random::Random;
pub(super) use stdio::context;
