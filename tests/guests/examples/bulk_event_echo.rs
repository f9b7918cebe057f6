//! What `event_echo` does, on the bulk lane.

test_guests::bulk_subscriber!(test_guests::behaviour::event_echo);
