//! Servers of the protocol `umadb.v1.DCB` in this process, and clients of them: ours and UmaDB's own, the same
//! client for both.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use tidemill::access::Policy;
use tidemill::clock::SystemClock;
use tidemill::gate::{Gate, Incoming};
use tidemill::store::AppendRequest;
use tidemill::store::embedded::{EmbeddedStore, OpenOptions};
use tidemill_tests::bench::Target;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use umadb_client::AsyncUmaDbClient;
use umadb_dcb::{DcbError, DcbEventStoreAsync as _};
use umadb_server::{ServerOptions, StorageOptions, start_server_with_options};

use crate::umadb::{condition, event};

/// A server, and a connection to it for each client.
pub struct Served {
    runtime: Arc<Runtime>,
    clients: Vec<AsyncUmaDbClient>,
    next: AtomicUsize,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Served {
    /// Serves our store in a directory.
    ///
    /// # Errors
    /// When it does not start.
    pub fn tidemill(runtime: &Arc<Runtime>, directory: &Path, clients: usize) -> anyhow::Result<Self> {
        let store = Arc::new(EmbeddedStore::open(&OpenOptions::new(directory), Arc::new(SystemClock))?);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = runtime.spawn(async move {
            let told = async { stopped.await.unwrap_or_default() };
            let gate = Arc::new(Gate::new(Policy::open()));
            let face = tidemill::grpc::Face::new(store, gate);
            Ok(tidemill::grpc::serve(Incoming::new(listener, None), face, told).await?)
        });
        Self::connect(runtime, address, clients, stop, server)
    }

    /// Serves an UmaDB database in a directory, with the settings of its server, or with the pipelined writer that
    /// it offers.
    ///
    /// # Errors
    /// When it does not start.
    pub fn umadb(runtime: &Arc<Runtime>, directory: &Path, clients: usize, pipelined: bool) -> anyhow::Result<Self> {
        // It wants to bind by itself.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let storage = StorageOptions::default().db_path(directory).pipelined_writer(pipelined);
        let options = ServerOptions { listen_addr: address.to_string(), tls: None, api_key: None, storage };
        let (stop, stopped) = oneshot::channel();
        let server = runtime.spawn(async move {
            start_server_with_options(options, stopped).await.map_err(|error| anyhow::anyhow!("{error}"))
        });
        Self::connect(runtime, address, clients, stop, server)
    }

    fn connect(
        runtime: &Arc<Runtime>,
        address: SocketAddr,
        clients: usize,
        stop: oneshot::Sender<()>,
        server: JoinHandle<anyhow::Result<()>>,
    ) -> anyhow::Result<Self> {
        let connect = || AsyncUmaDbClient::connect(format!("http://{address}"), None, None, None);
        let clients = (0..clients).map(|_| runtime.block_on(connect())).collect::<Result<_, _>>()?;
        let next = AtomicUsize::new(0);
        Ok(Self { runtime: Arc::clone(runtime), clients, next, stop: Some(stop), server: Some(server) })
    }

    /// A connection; each caller gets the next.
    fn client(&self) -> anyhow::Result<&AsyncUmaDbClient> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.clients.get(next % self.clients.len()).context("no clients")
    }

    /// Reads everything over one connection; answers how many events that were.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_all(&self) -> anyhow::Result<u64> {
        self.runtime.block_on(async {
            let mut read = self.client()?.read(None, None, false, None).await?;
            let mut events = 0;
            loop {
                match read.next_batch().await? {
                    batch if batch.is_empty() => return Ok(events),
                    batch => events += batch.len() as u64,
                }
            }
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.clients.clear();
        // If the server ended by itself, that was an error of some client.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.server.take().map(|server| self.runtime.block_on(server));
    }
}

impl Target for Served {
    async fn append(&self, request: AppendRequest) -> anyhow::Result<bool> {
        let events = request.events.into_iter().map(|given| event(given, false)).collect();
        match self.client()?.append(events, request.condition.map(condition), None).await {
            Ok(_) => Ok(true),
            Err(DcbError::IntegrityError(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn head(&self) -> anyhow::Result<u64> {
        Ok(self.runtime.block_on(self.client()?.head())?.unwrap_or(0))
    }

    fn groups(&self) -> Option<u64> {
        None
    }
}
