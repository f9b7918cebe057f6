//! What the benchmarks share: the events they append, the appenders, reads, and figures of time, disk and memory.
//!
//! Every benchmark compares within one run: what is compared takes turns on one disk, and ratios are what
//! counts. Events are the same everywhere ([`Workload`]), and so are the clients ([`drive()`]): tasks on one
//! runtime, each with one append under way, drawing its next request while it waits for the answer. An
//! append counts when its answer came, and an answer comes after the sync, in whatever is measured.
//!
//! Not measured here: delivery to plugins, the network, and a disk colder than one that was just written.

mod bare;
mod drive;
mod group_commit;
mod latency;
mod process;
mod reads;
mod subject;
mod table;
mod workload;

pub use bare::{BareFile, BareSink, RECORD_BYTES};
pub use drive::{Guard, Load, Turn, drive, fill};
pub use group_commit::{GroupCommit, Sink};
pub use latency::Latencies;
pub use process::{Figures, cpu_time, directory_bytes, is_memory, resident_bytes};
pub use reads::{Page, ReadFigures, Reading, measure_reads, sample};
pub use subject::{Target, Tidemill};
pub use table::{Table, megabytes, micros, millis, ratio, thousands};
pub use workload::{Workload, id_of};
