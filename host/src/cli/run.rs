//! From arguments to an exit code.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tracing::{info, warn};

use super::args::{Cli, Command, CompileArgs, DemoArgs, EventsCommand, GlobalArgs, ServeArgs, SourceArgs};
use super::client::{Client, Server};
use super::color::Color;
use super::error::{CliError, Exit, ProgramError};
use super::identity::Identity;
use super::output::{Output, complain};
use super::plugins::PluginsCommand;
use super::{
    append, ask as ask_plugin, backup, bench, color, command, completions, config, dead_letters, dev, doctor,
    events_read, events_tail, export, import, keys, layers, new, package, plugins, restore, retention, state,
    stream_state, streams, suggest, top, types, verify,
};
use crate::api::InProcess;
use crate::clock::SystemClock;
use crate::config::{DemoOptions, Layers, LoadError, ServeOptions, Slip, Supervisor, own_compiler};
use crate::error::with_sources;
use crate::runtime::{CompileLimits, compile_child};
use crate::store::{Store, StoreError};
use crate::telemetry::{self, LogFormat};

/// Opens the store in a data directory; none when there is no store in it.
pub type OpenStore = fn(&Path) -> Result<Option<Arc<dyn Store>>, StoreError>;

/// What commands need of the rest of the program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Runs the host until it is told to stop.
    pub serve: fn(ServeOptions) -> Result<(), ProgramError>,
    /// Runs the demo; an error when its proof fails.
    pub demo: fn(DemoOptions) -> Result<(), ProgramError>,
    /// For reading a data directory while no server runs.
    pub open: OpenStore,
}

/// Runs the command that the process's arguments name.
#[must_use]
pub fn main(program: &Program) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    Color::asked(&arguments).choose();
    let parsed = layers::parse(&arguments);
    let mut output = Output::stdout();
    let result = match parsed {
        Ok((cli, layers)) => run(cli, layers.as_ref(), program, &mut output).and_then(|()| output.flush()),
        Err(LoadError::Arguments(error)) => {
            // Help and version are no errors: clap knows where they go and how the process ends.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
        Err(LoadError::Config(error)) => Err(CliError::new(error.class().into(), with_sources(&error))),
    };
    match result {
        Ok(()) | Err(CliError::OutputClosed) => ExitCode::SUCCESS,
        Err(CliError::Failed { exit, what, hint }) => {
            // What was printed before the failure belongs to the reader; that it failed matters more.
            let _ = output.flush();
            complain(&what, hint.as_deref());
            ExitCode::from(exit as u8)
        }
    }
}

fn run(cli: Cli, layers: Option<&Layers>, program: &Program, output: &mut Output<'_>) -> Result<(), CliError> {
    let Cli { global, command } = cli;
    match command {
        Command::CompileComponent(CompileArgs { memory_bytes, cpu_ms, time_ms }) => {
            let limits = CompileLimits { memory_bytes, cpu_ms, time_ms };
            compile_child(&limits, &mut io::stdin(), &mut io::stdout())
                .map_err(|error| CliError::new(Exit::Failure, format_args!("cannot compile: {error}")))
        }
        Command::Config(command) => config::run(&command, layers, output),
        Command::Completions(args) => completions::completions(&args, output),
        Command::Man(args) => completions::man(&args, output),
        Command::Serve(args) => {
            let ServeArgs { mut options, log_format, log, .. } = *args;
            options.compiler = own_compiler();
            options.supervisor = Supervisor::of_environment();
            telemetry::init(log_format, &log, color::on_stderr())?;
            tell(layers);
            Ok((program.serve)(options)?)
        }
        Command::Demo(DemoArgs { mut options }) => {
            options.compiler = own_compiler();
            // The demo tells what happens itself; log lines would tear its table.
            telemetry::init(LogFormat::Pretty, global.log.as_deref().unwrap_or("off"), color::on_stderr())?;
            Ok((program.demo)(options)?)
        }
        other => {
            telemetry::init(LogFormat::Pretty, global.log.as_deref().unwrap_or(level(&other)), color::on_stderr())?;
            ask(other, global, program, output)
        }
    }
}

/// How much a command logs: what it reports itself is not told a second time.
const fn level(command: &Command) -> &'static str {
    match command {
        Command::Dev(_) => "error,tidemill::plugin=off",
        Command::Plugins(PluginsCommand::Test(_)) => "error,tidemill::plugin=warn",
        _ => "warn",
    }
}

/// Logs where the settings of a server were read, and what may be a slip in them.
fn tell(layers: Option<&Layers>) {
    let Some(layers) = layers else { return };
    let file = layers.file.as_ref().map_or_else(|| "none".into(), |file| file.display().to_string());
    info!(file, "settings were read");
    for Slip { name, meant } in &layers.slips {
        warn!(name, meant, "nobody reads this variable; did you mean the other?");
    }
}

/// Runs a command that asks a server or a data directory.
fn ask(command: Command, global: GlobalArgs, program: &Program, output: &mut Output<'_>) -> Result<(), CliError> {
    let server = Server::new(global.server).with_identity(Identity::of(&global.identity)?);
    match command {
        Command::Serve(_)
        | Command::Demo(_)
        | Command::CompileComponent(_)
        | Command::Config(_)
        | Command::Completions(_)
        | Command::Man(_) => Ok(()),
        Command::Append(args) => append::run(&args, &server, output),
        Command::Events(EventsCommand::Tail(args)) => events_tail::run(&args, server, output),
        Command::Events(EventsCommand::Read(args)) => {
            events_read::run(&args, &client(&args.source, server, program)?, output)
        }
        Command::Types(command) => types::run(&command, &client(command.source(), server, program)?, output),
        Command::Streams(command) => {
            let client = client(&command.source(), server, program)?;
            streams::run(&command, &client, output).map_err(|error| suggest::stream(error, command.stream(), &client))
        }
        Command::Commands(args) => command::run(&args, &client(&args.source(), server, program)?, output),
        Command::Snapshots(args) => {
            stream_state::snapshots(&args, &client(&SourceArgs::default(), server, program)?, output)
        }
        Command::Backup(args) => backup::run(&args, &server, output),
        Command::Restore(args) => restore::run(&args, output),
        Command::Export(args) => {
            let source = SourceArgs { data: args.data.clone(), ..SourceArgs::default() };
            export::run(&args, &client(&source, server, program)?, output)
        }
        Command::Import(args) => import::run(&args, server, output),
        Command::Verify(args) => verify::run(&args, &server, output),
        Command::Doctor(args) => doctor::run(&args, server, own_compiler(), output),
        Command::Bench(command) => bench::run(&command, &server, output),
        Command::Top(args) => top::run(&args, server, output),
        Command::New(args) => new::run(&args, output),
        Command::Dev(args) => dev::run(&args, server, output),
        Command::Keys(command) => keys::run(command, output),
        Command::Plugins(PluginsCommand::Install(args)) => {
            package::install(&args, Identity::of(&global.identity)?, output)
        }
        Command::Plugins(command) => {
            let client = client(&command.source(), server, program)?;
            plugins::run(&command, &client, output).map_err(|error| suggest::plugin(error, command.plugin(), &client))
        }
        Command::DeadLetters(command) => {
            let (client, plugin) = (client(&command.source(), server, program)?, Some(command.plugin()));
            dead_letters::run(&command, &client, output).map_err(|error| suggest::plugin(error, plugin, &client))
        }
        Command::Query(args) => ask_plugin::run(&args, &Client::Server(server), output),
        Command::Retention(command) => retention::run(&command, &client(command.source(), server, program)?, output),
        Command::State(command) => {
            let (client, plugin) = (client(command.source(), server, program)?, Some(command.plugin()));
            state::run(&command, &client, output).map_err(|error| suggest::plugin(error, plugin, &client))
        }
    }
}

/// Whom to ask: the data directory if one is given, else the server.
fn client(source: &SourceArgs, server: Server, program: &Program) -> Result<Client, CliError> {
    let Some(directory) = &source.data else { return Ok(Client::Server(server)) };
    let store = (program.open)(directory)?.ok_or_else(|| CliError::no_store(directory))?;
    let api = InProcess::new(store, Arc::new(SystemClock))
        .map_err(|error| CliError::new(Exit::Failure, format_args!("no async runtime: {error}")))?;
    Ok(Client::Directory(api))
}
