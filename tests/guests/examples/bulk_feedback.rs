//! What `feedback` does, on the bulk lane.

test_guests::bulk_subscriber!(test_guests::behaviour::feedback);
