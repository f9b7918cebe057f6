//! What was measured, for people and programs, as soon as it is known.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;

use super::latencies::{Latencies, Quantiles};
use super::target::{Face, Target};
use crate::cli::error::CliError;
use crate::cli::output::{Output, talk};

/// Width of the names of targets, at least.
const NAME_WIDTH: usize = 22;

/// The disk beside which servers are measured.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) place: PathBuf,
    /// Syncs of small writes a second, one after the other.
    pub(super) per_second: f64,
    pub(super) is_memory: bool,
}

/// Prints rows.
pub(super) struct Report<'a, 'o> {
    output: &'a mut Output<'o>,
    json: bool,
    disk: Disk,
    has_heading: bool,
}

/// What a benchmark has done with one target.
#[derive(Debug)]
pub(super) struct Measured {
    /// Which benchmark.
    pub(super) benchmark: &'static str,
    pub(super) clients: usize,
    pub(super) events: u64,
    pub(super) payload_bytes: u64,
    pub(super) time: Duration,
    pub(super) latencies: Latencies,
    /// Whether each event was to last, so that the disk's speed bounds it.
    pub(super) is_durable: bool,
    /// Syncs while it ran, and how long that was; none when the server does not tell.
    pub(super) syncs: Option<(u64, Duration)>,
}

/// The same as a line of JSON.
#[derive(Serialize)]
struct Row {
    benchmark: &'static str,
    target: String,
    protocol: Face,
    clients: usize,
    events: u64,
    payload_bytes: u64,
    seconds: f64,
    events_per_second: f64,
    payload_bytes_per_second: f64,
    /// Of requests; of deliveries, from before the append until the event came. None where there is none.
    latency_us: Option<Quantiles>,
    fsyncs: Option<u64>,
    fsyncs_per_second: Option<f64>,
    /// What the disk does by itself, one small write after the other.
    disk_fsyncs_per_second: f64,
    /// `events_per_second` over that; none of reads and deliveries.
    times_disk: Option<f64>,
    /// `events_per_second` over that of the first target, in the same turn.
    times_first: Option<f64>,
}

impl Measured {
    /// Events a second.
    pub(super) fn rate(&self) -> f64 {
        self.events as f64 / self.time.as_secs_f64().max(1e-9)
    }
}

impl<'a, 'o> Report<'a, 'o> {
    /// Begins; tells of the disk.
    pub(super) fn new(output: &'a mut Output<'o>, json: bool, disk: Disk) -> Result<Self, CliError> {
        if disk.is_memory {
            talk(&format!("warning: {} is in memory, where syncs cost nothing; give --disk DIR", disk.place.display()));
        }
        if !json {
            let rate = HumanCount(disk.per_second as u64);
            output
                .line(&format!("disk: {rate} fsyncs/s of 4 KiB, one after the other, in {}", disk.place.display()))?;
            output.flush()?;
        }
        Ok(Self { output, json, disk, has_heading: false })
    }

    /// Tells what was measured; `first` is the rate of the first target of this turn, if this is another.
    pub(super) fn row(&mut self, target: &Target, measured: &Measured, first: Option<f64>) -> Result<(), CliError> {
        let row = self.to_row(target, measured, first);
        if self.json {
            self.output.json(&row)?;
        } else {
            if !self.has_heading {
                self.output.heading(&heading())?;
                self.has_heading = true;
            }
            self.output.line(&row.to_text())?;
        }
        self.output.flush()
    }

    fn to_row(&self, target: &Target, measured: &Measured, first: Option<f64>) -> Row {
        let rate = measured.rate();
        Row {
            benchmark: measured.benchmark,
            target: target.name(),
            protocol: target.face(),
            clients: measured.clients,
            events: measured.events,
            payload_bytes: measured.payload_bytes,
            seconds: places(measured.time.as_secs_f64(), 3),
            events_per_second: places(rate, 1),
            payload_bytes_per_second: places(rate * measured.payload_bytes as f64 / measured.events.max(1) as f64, 1),
            latency_us: measured.latencies.quantiles(),
            fsyncs: measured.syncs.map(|(syncs, _)| syncs),
            fsyncs_per_second: measured.syncs.map(|(syncs, time)| places(syncs as f64 / time.as_secs_f64(), 1)),
            disk_fsyncs_per_second: places(self.disk.per_second, 1),
            times_disk: measured.is_durable.then(|| places(rate / self.disk.per_second, 3)),
            times_first: first.map(|first| places(rate / first, 3)),
        }
    }
}

fn places(number: f64, places: i32) -> f64 {
    let by = 10_f64.powi(places);
    (number * by).round() / by
}

fn heading() -> String {
    line(
        "TARGET",
        ["CLIENTS", "EVENTS", "EVENTS/S", "MB/S", "P50", "P90", "P99", "MAX", "FSYNCS/S", "x DISK", "x FIRST"],
    )
}

fn line(name: &str, cells: [&str; 11]) -> String {
    let widths = [7, 9, 9, 7, 8, 8, 8, 8, 8, 7, 7];
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("  {cell:>width$}"));
    format!("{name:<NAME_WIDTH$}{}", cells.collect::<String>())
}

impl Row {
    fn to_text(&self) -> String {
        let count = |number: f64| HumanCount(number as u64).to_string();
        let some = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
        let time = |pick: fn(&Quantiles) -> f64| some(self.latency_us.as_ref().map(|of| time_text(pick(of))));
        let cells = [
            self.clients.to_string(),
            HumanCount(self.events).to_string(),
            count(self.events_per_second),
            format!("{:.1}", self.payload_bytes_per_second / 1e6),
            time(|of| of.p50),
            time(|of| of.p90),
            time(|of| of.p99),
            time(|of| of.max),
            some(self.fsyncs_per_second.map(count)),
            some(self.times_disk.map(|times| format!("{times:.2}"))),
            some(self.times_first.map(|times| format!("{times:.2}"))),
        ];
        line(&self.target, cells.each_ref().map(String::as_str))
    }
}

/// A time in a unit that suits it.
fn time_text(us: f64) -> String {
    match us {
        ..1e3 => format!("{us:.0} us"),
        ..1e6 => format!("{:.2} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::wire::Wire;

    #[test]
    fn a_row_tells_rates_and_ratios() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_micros(1500));
        let measured = Measured {
            benchmark: "append",
            clients: 8,
            events: 20_000,
            payload_bytes: 20_000 * 256,
            time: Duration::from_secs(2),
            latencies,
            is_durable: true,
            syncs: Some((6000, Duration::from_secs(3))),
        };
        let target = Target::http(&"http://h:1".parse().unwrap(), &Wire::default());
        let disk = || Disk { place: "/d".into(), per_second: 5000.0, is_memory: false };
        let print = |json| {
            let mut bytes = Vec::new();
            let mut output = Output::plain(&mut bytes);
            Report::new(&mut output, json, disk()).unwrap().row(&target, &measured, Some(4000.0)).unwrap();
            drop(output);
            String::from_utf8(bytes).unwrap()
        };
        let text = print(false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "disk: 5,000 fsyncs/s of 4 KiB, one after the other, in /d");
        let (heads, cells): (Vec<_>, Vec<_>) = (lines[1].split("  ").collect(), lines[2].split("  ").collect());
        assert_eq!(heads[0], "TARGET");
        assert_eq!(cells[0], "h:1, http");
        let cells: Vec<_> = cells[1..].iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells[..4], ["8", "20,000", "10,000", "2.6"]);
        assert_eq!(cells[4..8], ["1.50 ms"; 4]);
        assert_eq!(cells[8..], ["2,000", "2.00", "2.50"]);
        let json: serde_json::Value = serde_json::from_str(&print(true)).unwrap();
        assert_eq!((&json["events_per_second"], &json["times_disk"]), (&10_000.0.into(), &2.0.into()), "{json}");
        assert_eq!((&json["fsyncs"], &json["latency_us"]["p99"]), (&6000.into(), &1500.0.into()), "{json}");
        assert_eq!((time_text(12.0), time_text(2_500_000.0)), ("12 us".into(), "2.50 s".into()));
    }
}
