//! Rejects poison.

test_guests::subscriber!(test_guests::behaviour::reject);
