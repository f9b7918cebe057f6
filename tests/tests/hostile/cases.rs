//! The hostile guests, one to a line: what it does, and how it must end.

use tidemill_plugins::COUNTER;
use tidemill_tests::guests;

use crate::raw;

/// One hostile guest.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The name it is installed under, which says what it does.
    pub(crate) name: &'static str,
    /// Where it comes from.
    guest: Guest,
    /// How it must end.
    pub(crate) end: End,
    /// What it listens to.
    hears: &'static str,
    /// Faults at one event after which it is set aside.
    faults_max: u32,
    /// Further lines of its manifest, from `[limits]` on.
    more: &'static str,
}

/// Where a guest comes from.
#[derive(Clone, Copy)]
enum Guest {
    /// Compiled from Rust.
    Built(&'static [u8]),
    /// Written by hand.
    Raw(&'static str),
    /// Written by hand, with this way of giving memory out.
    Realloc(&'static str),
    /// Made of bytes.
    Made(fn() -> Vec<u8>),
}

/// How a guest must end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It is not loaded, for a reason with these words.
    Refused(&'static [&'static str]),
    /// Its poison becomes a dead letter of this kind, for a reason with these words.
    Parked(&'static str, &'static [&'static str]),
    /// It is quarantined, for a reason with these words.
    Quarantined(&'static [&'static str]),
    /// It stops before its poison, for a reason with these words.
    Halted(&'static [&'static str]),
    /// It fails, and is through with everything all the same.
    Overcome,
    /// It is through with everything.
    Harmless,
}

use End::{Halted, Harmless, Overcome, Parked, Quarantined, Refused};
use Guest::{Built, Made, Raw, Realloc};

impl Case {
    const fn new(name: &'static str, guest: Guest, end: End) -> Self {
        Self { name, guest, end, hears: "\"Poison\"", faults_max: 1, more: SLOW }
    }

    /// With these further lines in its manifest, and no others.
    const fn with(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    /// With several faults allowed at one event.
    const fn patient(self) -> Self {
        Self { faults_max: 3, ..self }
    }

    /// Listening to what is no poison, too.
    const fn hears_all(self) -> Self {
        Self { hears: "\"Poison\", \"Ticked\"", ..self }
    }

    /// Its component.
    pub(crate) fn component(&self) -> Vec<u8> {
        match self.guest {
            Built(bytes) => bytes.to_vec(),
            Raw(does) => raw::component(does),
            Realloc(body) => raw::component_with_realloc(body),
            Made(make) => make(),
        }
    }

    /// Its manifest.
    pub(crate) fn manifest(&self) -> String {
        let Self { hears, faults_max, more, .. } = self;
        format!(
            "[subscribe]\ntypes = [{hears}]\n[delivery]\nbatch_events_max = 1\nmax_attempts = 2\n\
             max_faults = {faults_max}\nbackoff = {{ initial = \"10ms\", max = \"50ms\" }}\n{more}"
        )
    }
}

/// May append, and has time for it.
const EMITS: &str = "[grants]\nappend = [\"Echoed\"]\n[limits]\nbatch_time = \"600s\"\n";
/// Has the usual time, which is little on a busy machine: for what uses all of it up.
const USUAL: &str = "";
/// Has time for what takes long. So have all that end by themselves.
const SLOW: &str = "[limits]\nbatch_time = \"600s\"\n";
/// May keep one value and no two, and has time.
const CRAMPED: &str = "[limits]\nstate = \"768KiB\"\nbatch_time = \"600s\"\n";
/// Is two, with time.
const SHARED: &str = "partitions = 2\n[limits]\nbatch_time = \"600s\"\n";
/// Has little memory, and time.
const SMALL: &str = "[limits]\nmemory = \"8MiB\"\nbatch_time = \"600s\"\n";
/// May send requests, to nowhere.
const WEB: &str = "[grants]\nhttp = [\"http://localhost:1\"]\nhttp_private = [\"localhost\"]\n";

/// All of them.
pub(crate) const CASES: &[Case] = &[
    // Time: each ends at its deadline, wherever it is.
    Case::new("loops", Built(guests::SPIN), Parked("deadline", &["1000 ms"])).with(USUAL),
    Case::new("loops-at-start", Raw(raw::LOOP_AT_START), Refused(&["start", "deadline"])).with(USUAL),
    Case::new("loops-in-describe", Built(guests::SLOW_DESCRIBE), Refused(&["describe", "deadline"])).with(USUAL),
    Case::new("loops-around-the-host", Raw(raw::LOOP_IN_THE_HOST), Parked("deadline", &["1000 ms"])).with(USUAL),
    Case::new("loops-in-realloc", Realloc(raw::LOOP_IN_REALLOC), Parked("deadline", &["1000 ms"])).with(USUAL),
    Case::new("waits-in-the-host", Built(guests::HTTP_STUCK), Parked("deadline", &["1000 ms"])).with(WEB),
    Case::new("sleeps", Built(guests::SLEEP), Harmless),
    // Memory, tables, stack.
    Case::new("grows-at-once", Raw(raw::GROW_AT_ONCE), Parked("out_of_memory", &["64.0 MiB"])),
    Case::new("grows-by-mebibytes", Built(guests::GROW), Parked("out_of_memory", &["8.0 MiB"])).with(SMALL),
    Case::new("grows-by-pages", Raw(raw::GROW_BY_PAGES), Parked("out_of_memory", &["8.0 MiB"])).with(SMALL),
    Case::new("grows-a-table", Raw(raw::GROW_TABLE), Parked("out_of_memory", &["table elements"])),
    Case::new("grows-at-start", Raw(raw::GROW_AT_START), Refused(&["start", "out_of_memory"])),
    Case::new("declares-memory", Raw(raw::DECLARE_MEMORY), Refused(&["memor"])),
    Case::new("declares-a-table", Raw(raw::DECLARE_TABLE), Refused(&["table elements"])),
    Case::new("recurses", Built(guests::RECURSE), Parked("trap", &["call stack exhausted"])),
    Case::new("recurses-in-realloc", Realloc(raw::RECURSE_IN_REALLOC), Parked("trap", &["call stack exhausted"])),
    // Traps and verdicts.
    Case::new("traps", Built(guests::TRAP), Parked("trap", &["poisoned at position"])),
    Case::new("traps-on-everything", Raw("(handle (unreachable))"), Quarantined(&["unreachable"])).hears_all(),
    Case::new("traps-at-start", Raw(raw::TRAP_AT_START), Refused(&["start", "unreachable"])),
    Case::new("traps-on-the-fifth", Raw(raw::TRAP_ON_FIFTH), Overcome).patient().hears_all(),
    Case::new("traps-by-turns", Raw(raw::ALTERNATE), Overcome).patient().hears_all(),
    Case::new("traps-on-retry", Raw(raw::TRAP_ON_RETRY), Parked("trap", &["unreachable"])),
    Case::new("traps-on-replay", Raw(raw::TRAP_ON_REPLAY), Harmless),
    Case::new("makes-a-nan", Raw(raw::MAKE_A_NAN), Harmless),
    Case::new("panics-on-the-sdk", Built(guests::SDK_PANIC), Parked("trap", &["poisoned by"])),
    Case::new("exits", Built(guests::EXIT), Parked("trap", &["exited with code"])),
    Case::new("retries-for-ever", Built(guests::RETRY), Parked("retry", &[])),
    Case::new("rejects", Built(guests::REJECT), Parked("reject", &["is poison"])),
    Case::new("stops", Built(guests::STOP), Halted(&[])),
    Case::new("gives-a-later-verdict", Built(guests::OTHER_VERDICT), Parked("retry", &[])),
    Case::new("writes-then-fails", Built(guests::WRITE_THEN_FAIL), Parked("reject", &["written in vain"])),
    Case::new("appends-then-fails", Built(guests::APPEND_THEN_FAIL), Parked("reject", &["in vain"])).with(EMITS),
    // Output.
    Case::new("emits-too-much", Raw(raw::EMIT_TOO_MUCH), Parked("trap", &["fuel"])).with(EMITS),
    Case::new("emits-to-no-stream", Raw(raw::EMIT_TO_NO_STREAM), Parked("reject", &["stream"])).with(EMITS),
    Case::new("emits-without-cause", Raw(raw::EMIT_WITHOUT_CAUSE), Parked("reject", &["cause"])).with(EMITS),
    Case::new("emits-what-is-not-granted", Built(guests::ASK_DENIED), Parked("reject", &["in [grants]: append = "])),
    Case::new("floods-its-state", Built(guests::STATE_FLOOD), Parked("reject", &["bytes of state"])),
    Case::new("keeps-ever-more", Built(guests::STATE_FLOOD), Parked("reject", &["in [limits]: state = "]))
        .with(CRAMPED),
    Case::new("reads-ever-more", Built(guests::READ_FLOOD), Parked("deadline", &["1000 ms"])).with("partitions = 2\n"),
    Case::new("shares-what-it-floods", Built(guests::STATE_FLOOD), Parked("reject", &["bytes of state"])).with(SHARED),
    Case::new("sets-a-long-key", Raw(raw::KEY_TOO_LONG), Parked("reject", &["1025 bytes"])),
    Case::new("sets-a-large-value", Raw(raw::VALUE_TOO_LARGE), Parked("reject", &["1048577 bytes"])),
    Case::new("floods-the-log", Built(guests::LOG_FLOOD), Harmless),
    Case::new("floods-stderr", Built(guests::STDERR_FLOOD), Parked("trap", &["the last words"])),
    // What no compiler would make.
    Case::new("blames-another-event", Built(guests::BAD_REPLY), Parked("bad_reply", &["4294967295"])),
    Case::new("answers-misaligned", Raw(raw::ANSWER_MISALIGNED), Parked("trap", &["align"])),
    Case::new("answers-outside", Raw(raw::ANSWER_OUTSIDE), Parked("trap", &["bounds"])),
    Case::new("answers-no-case", Raw(raw::ANSWER_OF_NO_CASE), Parked("trap", &["discriminant"])),
    Case::new("answers-no-verdict", Raw(raw::VERDICT_OF_NO_CASE), Parked("trap", &["discriminant"])),
    Case::new("reasons-too-long", Raw(raw::REASON_TOO_LONG), Parked("trap", &["bounds"])),
    Case::new("reasons-no-text", Raw(raw::REASON_NOT_TEXT), Parked("trap", &["utf-8"])),
    Case::new("asks-a-forged-key", Raw(raw::KEY_FORGED), Parked("trap", &["bounds"])),
    Case::new("asks-no-text", Raw(raw::KEY_NOT_TEXT), Parked("trap", &["utf-8"])),
    Case::new("asks-outside", Raw(raw::ASK_OUTSIDE), Parked("trap", &["bounds"])),
    Case::new("logs-no-text", Raw(raw::LOG_NOT_TEXT), Parked("trap", &["utf-8"])),
    Case::new("logs-at-no-level", Raw(raw::LOG_OF_NO_LEVEL), Parked("trap", &["discriminant"])),
    Case::new("lists-a-forged-length", Raw(raw::LIST_FORGED), Parked("trap", &["bounds"])).with(EMITS),
    Case::new("allocates-outside", Realloc(raw::REALLOC_OUTSIDE), Parked("trap", &["beyond end of memory"])),
    Case::new("allocates-misaligned", Realloc(raw::REALLOC_MISALIGNED), Parked("trap", &["align"])),
    Case::new("allocates-over-itself", Realloc(raw::REALLOC_OVERLAPPING), Harmless),
    Case::new("calls-out-of-realloc", Realloc(raw::HOST_IN_REALLOC), Parked("trap", &["cannot leave"])),
    Case::new("leaks-handles", Raw(raw::LEAK_HANDLES), Parked("trap", &["table"])),
    Case::new("drops-twice", Raw(raw::DROP_TWICE), Parked("trap", &["handle"])),
    Case::new("drops-a-forged-handle", Raw(raw::DROP_FORGED), Parked("trap", &["handle"])),
    // What is no plugin, or wants what it is not granted.
    Case::new("calls-the-host-at-start", Raw(raw::APPEND_AT_START), Harmless),
    Case::new("is-empty", Made(Vec::new), Refused(&["empty"])),
    Case::new("is-garbage", Made(|| b"not wasm at all".to_vec()), Refused(&["not WebAssembly"])),
    Case::new("is-cut-short", Made(truncated), Refused(&["cut short"])),
    Case::new("is-a-core-module", Made(|| wat::parse_str("(module)").unwrap()), Refused(&["core module"])),
    Case::new("is-damaged", Made(damaged), Refused(&["not a valid component"])),
    Case::new("plays-no-role", Built(guests::NO_EXPORTS), Refused(&["tidemill:plugin/subscriber@0.1.1"])),
    Case::new("is-of-a-later-world", Built(guests::LATER_CONTRACT), Refused(&["tidemill:plugin/subscriber@0.2.0"])),
    Case::new("exports-another-type", Built(guests::WRONG_EXPORT), Refused(&["another type"])),
    Case::new("imports-another-type", Built(guests::WRONG_IMPORT), Refused(&["another type"])),
    Case::new("imports-the-unknown", Built(guests::UNKNOWN_IMPORT), Refused(&["test:guests/teleport"])),
    Case::new("imports-sockets", Built(guests::WASI_SOCKETS), Refused(&["wasi:sockets/"])),
    Case::new("imports-http", Built(guests::HTTP_GET), Refused(&["in [grants]: http = "])),
    Case::new("asks-for-more", Built(guests::ASKS), Refused(&["[grants]"])),
];

fn truncated() -> Vec<u8> {
    let (half, _) = COUNTER.component.split_at(COUNTER.component.len() / 2);
    half.to_vec()
}

/// A component with one byte of its code turned over.
fn damaged() -> Vec<u8> {
    let mut bytes = raw::component(raw::OK);
    let code = bytes.windows(4).position(|bytes| bytes == [0x41, 0x80, 0x20, 0x0b]).unwrap();
    *bytes.get_mut(code).unwrap() = 0xff;
    bytes
}

/// Those that hand over so much that once is enough: it takes long, whatever the host does.
pub(crate) const LARGE: &[Case] = &[
    Case::new("emits-a-gibibyte", Raw(raw::EMIT_GIBIBYTE), Parked("reject", &["4194304 bytes"])).with(EMITS),
    Case::new("emits-a-million", Raw(raw::EMIT_MILLION), Parked("reject", &["1024 events"])).with(EMITS),
];
