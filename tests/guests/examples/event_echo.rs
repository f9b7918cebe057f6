//! Writes all that it sees of each event under `event/<position>`.

test_guests::subscriber!(test_guests::behaviour::event_echo);
