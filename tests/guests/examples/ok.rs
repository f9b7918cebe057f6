//! Counts every event, and keeps the position of the last under `last`.

test_guests::subscriber!(test_guests::behaviour::ok);
