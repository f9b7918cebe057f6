//! Compiling in a process of its own, because a component can be made so that compiling it takes any amount of
//! time and memory.
//!
//! `child` is what runs in that process: it bounds itself before it reads a byte, compiles, answers, ends.
//! `parent` starts it, waits no longer than the limit, and takes the answer only if it is complete. `answer` is
//! what they say to each other. What is compiled is not run there.

mod answer;
mod child;
mod parent;

pub use child::compile_child;
pub use parent::{CompileLimits, Compiler};
