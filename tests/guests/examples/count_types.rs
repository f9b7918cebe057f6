//! Counts events by type, as the counter plugin does on the SDK.

test_guests::subscriber!(test_guests::behaviour::count_types);
