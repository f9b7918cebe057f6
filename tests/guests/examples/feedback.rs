//! Appends an event of the same type for each event, or of the type under `[config] emits`: without end, if it listens
//! to that, or whoever does answers it.

test_guests::subscriber!(test_guests::behaviour::feedback);
