//! Guests written by hand, in text: what no compiler would make.
//!
//! They are all `guest.wat` but for one piece. Most texts here are what the plugin's core module does besides what is
//! there: its `handle`, which takes `$events` and `$count` and answers an address. Those that say so are the body of
//! its `realloc`, by which the host asks for memory to put arguments into.

/// What all of them are.
const GUEST: &str = include_str!("guest.wat");
/// How `(handle` begins.
const HANDLE: &str = r#"(func (export "handle") (param $events i32) (param $count i32) (result i32)"#;
/// Gives memory out, as most guests do.
const ALLOCATE: &str = "(call $allocate (local.get 2) (local.get 3))";
/// Handles everything.
pub(crate) const OK: &str = "(handle (call $ok))";

/// The component of a plugin that does this.
pub(crate) fn component(does: &str) -> Vec<u8> {
    guest(does, ALLOCATE)
}

/// The component of a plugin with this `realloc`.
pub(crate) fn component_with_realloc(realloc: &str) -> Vec<u8> {
    guest(OK, realloc)
}

fn guest(does: &str, realloc: &str) -> Vec<u8> {
    let text = GUEST.replace("@REALLOC@", realloc).replace("@MAIN@", &does.replace("(handle", HANDLE));
    wat::parse_str(text).unwrap()
}

/// Does nothing but ask the host for a key that is not there.
pub(crate) const LOOP_IN_THE_HOST: &str = r#"
(handle (loop $again (call $get (i32.const 1024) (i32.const 6) (i32.const 2048)) (br $again)) (unreachable))"#;

/// Never finishes to start.
pub(crate) const LOOP_AT_START: &str = r#"
(func $start (loop $again (br $again))) (start $start)
(handle (call $ok))"#;

/// Dies at start.
pub(crate) const TRAP_AT_START: &str = r#"
(func $start (unreachable)) (start $start)
(handle (call $ok))"#;

/// Takes all memory at start.
pub(crate) const GROW_AT_START: &str = r#"
(func $start (if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then (unreachable)))) (start $start)
(handle (call $ok))"#;

/// Appends at start, where there is no event that could cause it: dies if it may.
pub(crate) const APPEND_AT_START: &str = r#"
(func $start (call $event) (call $emit (i64.const 1))
    (if (i32.eqz (call $is_refused)) (then (unreachable)))) (start $start)
(handle (call $ok))"#;

/// Declares more memory than it may have.
pub(crate) const DECLARE_MEMORY: &str = "(memory $more 60000) (handle (call $ok))";

/// Declares a larger table than it may have.
pub(crate) const DECLARE_TABLE: &str = "(table 9000000 funcref) (handle (call $ok))";

/// Takes all memory at once.
pub(crate) const GROW_AT_ONCE: &str = r#"
(handle (if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then (unreachable))) (call $ok))"#;

/// Takes memory page by page.
pub(crate) const GROW_BY_PAGES: &str = r#"
(handle
    (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (unreachable))"#;

/// Grows a table without end.
pub(crate) const GROW_TABLE: &str = r#"
(table $table 1 funcref)
(handle
    (loop $again (br_if $again (i32.ne (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1))))
    (unreachable))"#;

/// As `realloc`: calls itself without end.
pub(crate) const RECURSE_IN_REALLOC: &str =
    "(i32.add (i32.const 1) (call $realloc (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))";

/// As `realloc`: never comes back.
pub(crate) const LOOP_IN_REALLOC: &str = "(loop $again (br $again)) (unreachable)";

/// As `realloc`: gives out memory that there is not.
pub(crate) const REALLOC_OUTSIDE: &str = "(i32.const 0xfffffff0)";

/// As `realloc`: gives out memory at odd addresses.
pub(crate) const REALLOC_MISALIGNED: &str = "(i32.add (call $allocate (local.get 2) (local.get 3)) (i32.const 1))";

/// As `realloc`: gives out the same memory every time, where its own data is.
pub(crate) const REALLOC_OVERLAPPING: &str = "(i32.const 1024)";

/// As `realloc`: calls the host, which waits for it.
pub(crate) const HOST_IN_REALLOC: &str =
    "(call $log (i32.const 2) (i32.const 1024) (i32.const 6)) (call $allocate (local.get 2) (local.get 3))";

/// Answers at an odd address.
pub(crate) const ANSWER_MISALIGNED: &str = "(handle (i32.const 4099))";

/// Answers outside its memory.
pub(crate) const ANSWER_OUTSIDE: &str = "(handle (i32.const 0xfffffff0))";

/// Answers with neither ok nor a failure.
pub(crate) const ANSWER_OF_NO_CASE: &str =
    "(handle (drop (call $ok)) (i32.store8 (i32.const 4096) (i32.const 7)) (i32.const 4096))";

/// Answers with a verdict that there is not.
pub(crate) const VERDICT_OF_NO_CASE: &str = "(handle (call $failed (i32.const 9) (i32.const 1024) (i32.const 6)))";

/// Gives a reason that is longer than its memory.
pub(crate) const REASON_TOO_LONG: &str = "(handle (call $failed (i32.const 1) (i32.const 1024) (i32.const -1)))";

/// Gives a reason that is no text.
pub(crate) const REASON_NOT_TEXT: &str = "(handle (call $failed (i32.const 1) (i32.const 1036) (i32.const 2)))";

/// Asks for a key of a forged length.
pub(crate) const KEY_FORGED: &str =
    "(handle (call $get (i32.const 1024) (i32.const 0x7fffffff) (i32.const 2048)) (call $told))";

/// Asks for a key that is no text.
pub(crate) const KEY_NOT_TEXT: &str =
    "(handle (call $get (i32.const 1036) (i32.const 2) (i32.const 2048)) (call $told))";

/// Asks the host to answer outside its memory.
pub(crate) const ASK_OUTSIDE: &str =
    "(handle (call $get (i32.const 1024) (i32.const 6) (i32.const 0xfffffff0)) (call $told))";

/// Logs a line that is no text.
pub(crate) const LOG_NOT_TEXT: &str = "(handle (call $log (i32.const 2) (i32.const 1036) (i32.const 2)) (call $ok))";

/// Logs at a level that there is not.
pub(crate) const LOG_OF_NO_LEVEL: &str =
    "(handle (call $log (i32.const 77) (i32.const 1024) (i32.const 6)) (call $ok))";

/// Appends a list of events of a forged length.
pub(crate) const LIST_FORGED: &str = r#"
(handle
    (call $event)
    (call $append (i64.load (local.get $events)) (i32.const 5120) (i32.const 0x03ffffff) (i32.const 2048))
    (call $told))"#;

/// Sets a key that is longer than keys may be.
pub(crate) const KEY_TOO_LONG: &str = r#"
(handle
    (memory.fill (i32.const 131072) (i32.const 107) (i32.const 2000))
    (call $set (i32.const 131072) (i32.const 1025) (i32.const 1024) (i32.const 6) (i32.const 2048))
    (call $told))"#;

/// Sets a value that is larger than values may be.
pub(crate) const VALUE_TOO_LARGE: &str = r#"
(handle
    (call $set (i32.const 1024) (i32.const 6) (i32.const 131072) (i32.const 1048577) (i32.const 2048))
    (call $told))"#;

/// Hands a gibibyte to the host, a mebibyte at a time, in spite of every refusal; rejects with the last of them.
pub(crate) const EMIT_GIBIBYTE: &str = r#"
(handle
    (local $cause i64) (local $left i32)
    (local.set $cause (i64.load (local.get $events)))
    (call $event)
    (memory.fill (i32.const 131072) (i32.const 49) (i32.const 1000000))
    (i32.store (i32.const 5144) (i32.const 131072))
    (i32.store (i32.const 5148) (i32.const 1000000))
    (local.set $left (i32.const 1074))
    (loop $again
        (call $free)
        (call $emit (local.get $cause))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (call $told))"#;

/// Hands over more in one call than a call may carry.
pub(crate) const EMIT_TOO_MUCH: &str = r#"
(handle
    (drop (memory.grow (i32.const 200)))
    (call $event)
    (i32.store (i32.const 5144) (i32.const 65536))
    (i32.store (i32.const 5148) (i32.const 12000000))
    (call $emit (i64.load (local.get $events)))
    (call $told))"#;

/// Appends a million events one by one, in spite of every refusal; rejects with the last of them.
pub(crate) const EMIT_MILLION: &str = r#"
(handle
    (local $cause i64) (local $left i32)
    (local.set $cause (i64.load (local.get $events)))
    (call $event)
    (local.set $left (i32.const 1000000))
    (loop $again
        (call $free)
        (call $emit (local.get $cause))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (call $told))"#;

/// Appends to a stream whose name is a line break.
pub(crate) const EMIT_TO_NO_STREAM: &str = r#"
(handle
    (call $event)
    (i32.store8 (i32.const 5128) (i32.const 1))
    (i32.store (i32.const 5132) (i32.const 1038))
    (i32.store (i32.const 5136) (i32.const 1))
    (call $emit (i64.load (local.get $events)))
    (call $told))"#;

/// Appends for a cause that it was not handed.
pub(crate) const EMIT_WITHOUT_CAUSE: &str = r#"
(handle (call $event) (call $emit (i64.const -1)) (call $told))"#;

/// Takes handles and gives none back.
pub(crate) const LEAK_HANDLES: &str = r#"
(handle (loop $again (drop (call $stdout)) (br $again)) (unreachable))"#;

/// Gives a handle back twice.
pub(crate) const DROP_TWICE: &str = r#"
(handle
    (local $handle i32)
    (local.set $handle (call $stdout))
    (call $drop (local.get $handle))
    (call $drop (local.get $handle))
    (call $ok))"#;

/// Gives a handle back that it never had.
pub(crate) const DROP_FORGED: &str = "(handle (call $drop (i32.const 4711)) (call $ok))";

/// Handles one event and dies of the next, by turns.
pub(crate) const ALTERNATE: &str = r#"
(handle
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (i32.eq (global.get $calls) (i32.const 2)) (then (unreachable)))
    (call $ok))"#;

/// Dies when a number that is none has other bits than the one that all processors agree on.
pub(crate) const MAKE_A_NAN: &str = r#"
(handle
    (local $zero f64)
    (local.set $zero (f64.load (i32.const 8192)))
    (if (i64.ne (i64.reinterpret_f64 (f64.div (local.get $zero) (local.get $zero))) (i64.const 0x7ff8000000000000))
        (then (unreachable)))
    (i64.store (i32.const 8200) (i64.const 0x7ff8000000001234))
    (if (i64.ne
            (i64.reinterpret_f64 (f64.add (f64.load (i32.const 8200)) (f64.const 1)))
            (i64.const 0x7ff8000000000000))
        (then (unreachable)))
    (call $ok))"#;

/// Dies of every fifth event of an instance.
pub(crate) const TRAP_ON_FIFTH: &str = r#"
(handle
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (i32.eq (global.get $calls) (i32.const 5)) (then (unreachable)))
    (call $ok))"#;

/// Asks for another attempt, and dies of it.
pub(crate) const TRAP_ON_RETRY: &str = r#"
(handle
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (i32.gt_u (global.get $calls) (i32.const 1)) (then (unreachable)))
    (call $failed (i32.const 0) (i32.const 1032) (i32.const 4)))"#;

/// Keeps a key for each position that it handled, and dies of those that it has handled before.
pub(crate) const TRAP_ON_REPLAY: &str = r#"
(handle
    (local $position i32) (local $digit i32)
    (local.set $position (i32.wrap_i64 (i64.load (local.get $events))))
    (loop $again
        (i32.store8
            (i32.add (i32.const 6000) (local.get $digit))
            (i32.add (i32.const 97) (i32.and (local.get $position) (i32.const 15))))
        (local.set $position (i32.shr_u (local.get $position) (i32.const 4)))
        (br_if $again (i32.lt_u (local.tee $digit (i32.add (local.get $digit) (i32.const 1))) (i32.const 8))))
    (call $get (i32.const 6000) (i32.const 8) (i32.const 2048))
    (if (i32.load8_u (i32.const 2052)) (then (unreachable)))
    (call $set (i32.const 6000) (i32.const 8) (i32.const 1024) (i32.const 6) (i32.const 2048))
    (call $told))"#;
