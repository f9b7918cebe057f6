//! What retention removed, on the command line.

use super::*;
use crate::event::Category;

fn removed_from() -> Arc<MemoryStore> {
    let store = filled();
    store.remove(&Category::new("order").unwrap(), Position(2)).unwrap();
    store
}

#[test]
fn categories_are_printed_as_a_table() {
    assert_eq!(
        printed(removed_from(), "tidemill retention ls").unwrap(),
        "CATEGORY  POLICY  REMOVED BEFORE  WANTED BEFORE  BLOCKED BY\n\
         order     -                    2              -  -\n"
    );
    assert_eq!(
        printed(removed_from(), "tidemill retention ls --json").unwrap(),
        "{\"category\":\"order\",\"policy\":null,\"removed_before\":2,\"wanted_before\":null,\"blocked_by\":null}\n"
    );
}

#[test]
fn a_complete_read_fails_where_something_is_gone() {
    let error = printed(removed_from(), "tidemill events read --complete").unwrap_err();
    let told = "events of category order before position 2 were removed by retention; \
                read with after=1, or without complete";
    assert_eq!(error, CliError::new(Exit::NotFound, told));
    assert!(printed(removed_from(), "tidemill events read --complete --after 1").is_ok());
    assert_eq!(printed(removed_from(), "tidemill events read --json").unwrap().lines().count(), 1);
}
