//! `tidemill top`: a live view of a server: its head, and its plugins with what they do.
//!
//! One request a second, `GET /v1/plugins`, on a thread of its own, so that keys are answered while a server is slow.
//! `sample` is what an answer says, `model` what is made of two of them and of keys, both without a terminal; `view`
//! draws it, on a terminal (`screen`) or as text.

mod model;
mod sample;
mod screen;
mod view;

use std::io::{IsTerminal as _, stdout};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};

use model::Model;
use sample::Sample;

use super::client::{Client, Server};
use super::error::CliError;
use super::output::Output;
use super::query::Query;
use crate::clock::Stopwatch;

/// Time between two requests.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill top
  tidemill top --sort parked
  tidemill top --once                one frame as text, for a script or a mail

Keys: s another order, r the other way round, space hold still, arrows scroll, q end.
RATE is events handled a second; LAG is how many events of the log are after a plugin's checkpoint.")]
pub(super) struct TopArgs {
    /// What stands on top
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Print one frame as text after two looks, a second apart
    #[arg(long)]
    once: bool,
}

/// What plugins are ordered by: the largest first, names from a to z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    #[default]
    Lag,
    Rate,
    Parked,
    Memory,
    Name,
}

/// Shows a server until told to end, or until it is gone.
pub(super) fn run(args: &TopArgs, server: Server, output: &mut Output<'_>) -> Result<(), CliError> {
    let url = server.url().to_string();
    let client = Client::Server(server);
    let mut model = Model::new(url, args.sort);
    // What is wrong with the first request is told before a terminal is touched.
    model.take(ask(&client, model.begun())?);
    if args.once {
        thread::sleep(PERIOD);
        model.take(ask(&client, model.begun())?);
        return view::text(&model).lines().try_for_each(|line| output.line(line));
    }
    if !stdout().is_terminal() {
        let error = CliError::usage("stdout is not a terminal");
        return Err(error.hint("`tidemill top --once` prints one frame as text"));
    }
    let samples = follow(client, model.begun());
    screen::run(model, &samples)
}

/// Asks once; `begun` is when all began.
fn ask(client: &Client, begun: Stopwatch) -> Result<Sample, CliError> {
    let answer = client.get(&Query::path(&["v1", "plugins"]))?;
    Ok(Sample::new(begun, answer))
}

/// Asks once a second, until it fails or nobody listens.
fn follow(client: Client, begun: Stopwatch) -> Receiver<Result<Sample, CliError>> {
    let (tell, told): (SyncSender<_>, _) = sync_channel(1);
    // It ends with the process, or with the first answer that nobody takes.
    thread::spawn(move || {
        loop {
            thread::sleep(PERIOD);
            let sample = ask(&client, begun);
            let is_last = sample.is_err();
            if tell.send(sample).is_err() || is_last {
                return;
            }
        }
    });
    told
}
