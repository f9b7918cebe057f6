//! All authority that a guest can have. What is not linked here does not exist for it.
//!
//! Of the host: its own state, appending and sending commands under its grants, log lines, its own configuration. Of WASI: what
//! a language's standard library needs to start, with nothing behind it. There is no network, no file, no
//! environment, no argument, no clock but the events', no randomness but a seeded one.
//!
//! Components that import HTTP, and are granted some, are called in a way of their own, in which host
//! functions may wait: sending requests is added for them, and each is checked against the grants.

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random, sync};

use super::bindings::{append, config, dispatch, log, state, types};
use super::guest::Guest;

/// Gives host functions the table of WASI resources.
struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links everything that there is for everybody. Nothing of it waits.
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = common(engine)?;
    wasi_io(&mut linker)?;
    sync::filesystem::types::add_to_linker::<_, WasiFilesystem>(&mut linker, Guest::filesystem)?;
    Ok(linker)
}

/// The same and HTTP, for instances whose host functions may wait.
pub(super) fn waiting_linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = common(engine)?;
    let l = &mut linker;
    io::error::add_to_linker::<_, HasTable>(l, |guest| &mut guest.table)?;
    io::poll::add_to_linker::<_, HasTable>(l, |guest| &mut guest.table)?;
    io::streams::add_to_linker::<_, HasTable>(l, |guest| &mut guest.table)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(l, Guest::filesystem)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    Ok(linker)
}

fn common(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    contract(&mut linker)?;
    wasi_cli(&mut linker)?;
    wasi_own(&mut linker)?;
    // A filesystem without a single directory: C, Go and Python import it, whatever the program does.
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(&mut linker, Guest::filesystem)?;
    Ok(linker)
}

/// The plugin contract of `wit/`.
fn contract(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    state::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    append::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    dispatch::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    log::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    config::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)
}

/// Streams and polling over what the other interfaces hand out; nothing of it ever waits.
fn wasi_io(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    sync::io::error::add_to_linker::<_, HasTable>(l, |guest| &mut guest.table)?;
    sync::io::poll::add_to_linker::<_, HasTable>(l, |guest| &mut guest.table)?;
    sync::io::streams::add_to_linker::<_, HasTable>(l, |guest| &mut guest.table)
}

/// No arguments, no environment, closed stdin, captured stdout and stderr, no terminal; `exit` is a fault.
fn wasi_cli(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    cli::environment::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, Guest::cli)
}

/// The clocks and random sources of this host: those of the events.
fn wasi_own(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    clocks::wall_clock::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    clocks::monotonic_clock::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    random::random::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    random::insecure::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)?;
    random::insecure_seed::add_to_linker::<_, HasSelf<Guest>>(l, |guest| guest)
}
