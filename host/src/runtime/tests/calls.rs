//! What a call of a guest can end in: the same on each lane.

use super::fixtures::{Guest, call, handler};
use crate::delivery::{Fault, HandleError, Handled, Handler, Verdict};
use crate::runtime::Limits;
use crate::runtime::lane::Lane;

/// Log lines, and a panic message in the memory at 16.
const LOGGING: Guest = Guest {
    imports: r#"(import "tidemill:plugin/log@0.1.0" (instance $log
      (type $level' (enum "trace" "debug" "info" "warn" "error"))
      (export "level" (type $level (eq $level')))
      (export "log" (func (param "level" $level) (param "message" string)))))"#,
    lowered: r#"(core func $log (canon lower (func $log "log") (memory (core memory $libc "memory"))))"#,
    host: r#"(export "log" (func $log))"#,
    module: r#"(import "host" "log" (func $log (param i32 i32 i32)))
      (data (i32.const 16) "panicked at src/lib.rs:10:17:\nno such \1border")"#,
    ..Guest::new("(call $log (i32.const 4) (i32.const 16) (i32.const 44)) unreachable")
};

fn fault(handled: &Handled) -> (Fault, &str) {
    match &handled.outcome {
        Err(HandleError::Fault { fault, reason }) => (*fault, reason),
        other => panic!("expected a fault, got {other:?}"),
    }
}

/// The index that a guest answers with, which is how the fixtures give a number away.
fn index(handled: &Handled) -> usize {
    match &handled.outcome {
        Err(HandleError::Failure(failure)) => failure.index,
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn an_ok_is_an_ok(lane: Lane) {
    let mut handler = handler(Guest::new("(i32.const 0)").on(lane), Limits::default());
    for first in [1, 4] {
        let handled = call(&mut *handler, first, 3);
        assert_eq!(handled.outcome, Ok(()));
        assert_eq!(handled.effects.batch().unwrap().len(), 3, "the effects come back");
    }
}

fn a_guest_sees_the_events_as_they_are(lane: Lane) {
    // The lower half of the second event's id, at 16: events take 96 bytes and heads 80.
    let second = Guest::new(match lane {
        Lane::Plain => "(call $fail (i32.wrap_i64 (i64.load offset=112 (local.get 0))) (i32.const 1))",
        Lane::Bulk => "(call $fail (i32.wrap_i64 (i64.load offset=96 (local.get 0))) (i32.const 1))",
    });
    let mut handler = handler(second.on(lane), Limits::default());
    let handled = call(&mut *handler, 3, 10);
    assert_eq!(index(&handled), 4);
}

fn an_answer_is_passed_on_and_the_instance_kept(lane: Lane) {
    let counting = Guest {
        module: "(global $calls (mut i32) (i32.const 0))",
        ..Guest::new(
            "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
             (call $fail (global.get $calls) (i32.const 1))",
        )
    };
    let mut handler = handler(counting.on(lane), Limits::default());
    for calls in [1, 2] {
        let handled = call(&mut *handler, 1, 3);
        let Err(HandleError::Failure(failure)) = handled.outcome else { panic!("it rejects") };
        assert_eq!((failure.index, failure.verdict), (calls, Verdict::Reject));
    }
    let handled = call(&mut *handler, 1, 3);
    let (fault, reason) = fault(&handled);
    assert_eq!(fault, Fault::BadReply);
    assert!(reason.contains("event 3") && reason.contains("batch of 3"), "{reason}");
    assert_eq!(index(&call(&mut *handler, 1, 3)), 1, "a fault brings a new instance");
}

fn a_trap_has_a_reason_and_a_backtrace_and_the_next_call_is_as_new(lane: Lane) {
    let pair = Guest {
        module: "(func $deep unreachable)",
        ..Guest::new("(if (i32.eq (local.get $count) (i32.const 2)) (then (call $deep))) (i32.const 0)")
    };
    let mut handler = handler(pair.on(lane), Limits::default());
    assert_eq!(call(&mut *handler, 1, 1).outcome, Ok(()));
    let handled = call(&mut *handler, 1, 2);
    let (fault, reason) = fault(&handled);
    assert_eq!(fault, Fault::Trap);
    assert!(reason.contains("unreachable"), "{reason}");
    assert!(!reason.contains('\n'), "{reason}");
    let frames: Vec<_> = handled.evidence.backtrace.lines().collect();
    assert!(frames.len() == 2 && frames[0].ends_with("main!deep"), "{frames:?}");
    assert!(handled.effects.batch().is_some(), "the effects come back");
    assert_eq!(call(&mut *handler, 1, 1).outcome, Ok(()));
}

fn what_was_said_before_a_trap_is_its_reason(lane: Lane) {
    let mut handler = handler(LOGGING.on(lane), Limits { log_bytes_per_batch: 3, ..Limits::default() });
    let handled = call(&mut *handler, 1, 1);
    let (fault, reason) = fault(&handled);
    assert_eq!(fault, Fault::Trap);
    assert!(reason.starts_with("panicked at src/lib.rs:10:17: no such \u{fffd}order (wasm trap:"), "{reason}");
    assert!(handled.evidence.stderr_tail.contains("no such \u{fffd}order"), "{}", handled.evidence.stderr_tail);
}

fn a_loop_ends_at_the_deadline(lane: Lane) {
    let limits = Limits { batch_time_ms: 30, ..Limits::default() };
    let mut handler = handler(Guest::new("(loop $l (br $l)) unreachable").on(lane), limits);
    let handled = call(&mut *handler, 1, 1);
    let (fault, reason) = fault(&handled);
    assert_eq!(fault, Fault::Deadline);
    assert!(reason.contains("30 ms") && reason.contains("batch_time"), "{reason}");
}

fn memory_is_bounded_and_its_end_is_named(lane: Lane) {
    let growing = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let mut handler = handler(Guest::new(growing).on(lane), Limits { memory_bytes: 4 << 20, ..Limits::default() });
    for _ in 0..2 {
        let handled = call(&mut *handler, 1, 1);
        let (fault, reason) = fault(&handled);
        assert_eq!(fault, Fault::OutOfMemory);
        assert!(reason.contains("4.0 MiB") && reason.contains("[limits] memory"), "{reason}");
    }
}

fn an_instance_is_recycled_when_its_memory_is_nearly_full(lane: Lane) {
    // Grows by 1 MiB a call and answers how often it was called.
    let hoarding = Guest {
        module: "(global $calls (mut i32) (i32.const 0))",
        ..Guest::new(
            "(drop (memory.grow (i32.const 16)))
             (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
             (call $fail (global.get $calls) (i32.const 1))",
        )
    };
    let mut handler = handler(hoarding.on(lane), Limits { memory_bytes: 4 << 20, ..Limits::default() });
    let calls: Vec<_> = (0..5).map(|_| index(&call(&mut *handler, 1, 10))).collect();
    assert_eq!(calls, [1, 2, 3, 1, 2]);
}

fn a_loop_ends_when_its_fuel_is_used_up(lane: Lane) {
    let limits = Limits { batch_time_ms: 60_000, fuel: Some(100_000), ..Limits::default() };
    let spinning = Guest::new("(if (i32.eq (local.get $count) (i32.const 2)) (then (loop $l (br $l)))) (i32.const 0)");
    let mut handler = handler(spinning.on(lane), limits);
    assert_eq!(call(&mut *handler, 1, 1).outcome, Ok(()));
    let handled = call(&mut *handler, 1, 2);
    let (fault, reason) = fault(&handled);
    assert_eq!(fault, Fault::OutOfFuel);
    assert!(reason.contains("100000 units") && reason.contains("[limits] fuel"), "{reason}");
    assert_eq!(handler.usage().batch_fuel_max, 100_000);
    assert_eq!(call(&mut *handler, 1, 1).outcome, Ok(()), "each call has all of it");
}

fn the_same_call_uses_the_same_fuel(lane: Lane) {
    let mut handler = handler(Guest::new("(i32.const 0)").on(lane), Limits::default());
    let mut used = || {
        let before = handler.usage().fuel;
        assert_eq!(call(&mut *handler, 1, 3).outcome, Ok(()));
        handler.usage().fuel - before
    };
    // The first brings the start of the instance.
    used();
    let second = used();
    assert!(second > 0 && used() == second, "{second}");
    assert_eq!(handler.usage().batch_fuel_max, second);
    assert_eq!((handler.usage().memory_bytes, handler.usage().memory_peak_bytes), (64 << 10, 64 << 10));
}

fn faults_and_full_memories_are_told_apart_as_restarts(lane: Lane) {
    let growing = Guest::new(
        "(drop (memory.grow (i32.const 16))) (if (i32.eq (local.get $count) (i32.const 2)) (then unreachable))
         (i32.const 0)",
    );
    let mut handler = handler(growing.on(lane), Limits { memory_bytes: 4 << 20, ..Limits::default() });
    let restarts = |handler: &dyn Handler| (handler.usage().restarts.fault, handler.usage().restarts.recycled);
    for _ in 0..3 {
        assert_eq!(call(&mut *handler, 1, 1).outcome, Ok(()));
    }
    assert_eq!((restarts(&*handler), handler.usage().memory_bytes), ((0, 1), 0));
    assert!(call(&mut *handler, 1, 2).outcome.is_err());
    assert_eq!((restarts(&*handler), handler.usage().memory_bytes), ((1, 1), 0));
    assert!(handler.usage().memory_peak_bytes > 3 << 20, "the peak outlives its instance");
}

fn what_is_logged_is_counted_past_its_limit(lane: Lane) {
    let mut handler = handler(LOGGING.on(lane), Limits { log_bytes_per_batch: 3, ..Limits::default() });
    for _ in 0..2 {
        assert!(call(&mut *handler, 1, 1).outcome.is_err());
    }
    // 44 bytes of text, and 64 for the line.
    assert_eq!((handler.usage().log_bytes, handler.usage().batch_log_bytes_max), (216, 108));
}

fn exit_is_a_fault_with_its_code(lane: Lane) {
    let exiting = Guest {
        imports: r#"(import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))"#,
        lowered: r#"(core func $exit (canon lower (func $exit "exit")))"#,
        host: r#"(export "exit" (func $exit))"#,
        module: r#"(import "host" "exit" (func $exit (param i32)))"#,
        ..Guest::new("(call $exit (i32.const 1)) (i32.const 0)")
    };
    let handled = call(&mut *handler(exiting.on(lane), Limits::default()), 1, 1);
    assert_eq!(fault(&handled), (Fault::Trap, "it exited with code 1 instead of returning"));
}

fn the_monotonic_clock_stands_still_unless_somebody_waits(lane: Lane) {
    let timed = Guest {
        imports: r#"(import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))"#,
        lowered: r#"(core func $now (canon lower (func $clock "now")))"#,
        host: r#"(export "now" (func $now))"#,
        module: r#"(import "host" "now" (func $now (result i64)))"#,
        ..Guest::new("(call $fail (i32.wrap_i64 (i64.div_u (call $now) (i64.const 1000000000))) (i32.const 1))")
    };
    let handled = call(&mut *handler(timed.on(lane), Limits::default()), 3, 10);
    assert_eq!(index(&handled), 0, "it is none of the events' times");
}

fn random_numbers_follow_the_first_event(lane: Lane) {
    const RANDOM: Guest = Guest {
        imports: r#"(import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))"#,
        lowered: r#"(core func $random (canon lower (func $random "get-random-u64")))"#,
        host: r#"(export "random" (func $random))"#,
        module: r#"(import "host" "random" (func $random (result i64)))"#,
        ..Guest::new(
            "(call $fail (i32.add (i32.wrap_i64 (i64.and (call $random) (i64.const 255))) (i32.const 1)) (i32.const 1))",
        )
    };
    let numbers = |handler: &mut dyn crate::delivery::Handler| -> Vec<_> {
        // The number is an index past the end, which the reason tells.
        (1..9).map(|first| fault(&call(handler, first, 1)).1.to_owned()).collect()
    };
    let mut handler = handler(RANDOM.on(lane), Limits::default());
    let first = numbers(&mut *handler);
    assert_eq!(numbers(&mut *handler), first);
    assert!(first.iter().any(|number| *number != first[0]), "{first:?}");
}

/// Makes two tests of each function here: one for each lane.
macro_rules! on_each_lane {
    ($($test:ident),+ $(,)?) => {
        mod plain {
            $(#[test] fn $test() { super::$test(super::Lane::Plain) })+
        }
        mod bulk {
            $(#[test] fn $test() { super::$test(super::Lane::Bulk) })+
        }
    };
}

on_each_lane!(
    an_ok_is_an_ok,
    a_guest_sees_the_events_as_they_are,
    an_answer_is_passed_on_and_the_instance_kept,
    a_trap_has_a_reason_and_a_backtrace_and_the_next_call_is_as_new,
    what_was_said_before_a_trap_is_its_reason,
    a_loop_ends_at_the_deadline,
    memory_is_bounded_and_its_end_is_named,
    an_instance_is_recycled_when_its_memory_is_nearly_full,
    a_loop_ends_when_its_fuel_is_used_up,
    the_same_call_uses_the_same_fuel,
    faults_and_full_memories_are_told_apart_as_restarts,
    what_is_logged_is_counted_past_its_limit,
    exit_is_a_fault_with_its_code,
    the_monotonic_clock_stands_still_unless_somebody_waits,
    random_numbers_follow_the_first_event,
);
