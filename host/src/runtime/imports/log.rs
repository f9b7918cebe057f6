//! `log`: lines for the operator.

use crate::runtime::bindings::log::{Host, Level};
use crate::runtime::guest::Guest;

impl Host for Guest {
    fn log(&mut self, level: Level, message: String) {
        self.output.log(level, &message);
    }
}
