//! Opens a connection for each event: it needs what no host offers, so it must not load.

use std::net::TcpStream;

use test_guests::{Event, Failure, Verdict, count, each};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |_| {
        TcpStream::connect("127.0.0.1:1").map_err(|error| (Verdict::Reject, error.to_string()))?;
        count()
    })
}

test_guests::subscriber!(handle);
