//! Looking names up, a few at a time.
//!
//! The system's resolver cannot be stopped: a look-up that nobody waits for any more has its thread until the resolver
//! gives up. These threads come out of the pool that reads the store and runs the handlers, so there are never more
//! than a few of them: a guest whose names nobody answers for may cost other guests their look-ups, and the host nothing.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Look-ups at a time, those included that nobody waits for any more.
const LOOKUPS_MAX: usize = 16;

static LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// The addresses of a host, which is a name or an address.
pub(super) async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = (host.to_owned(), port);
    on_a_thread(&LOOKUPS, move || Ok(name.to_socket_addrs()?.collect())).await
}

/// Waits for a permit, and then for a thread that does the work.
async fn on_a_thread<T: Send + 'static>(
    permits: &'static Semaphore,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let permit = permits.acquire().await.map_err(io::Error::other)?;
    let work = move || {
        // The thread's, not the future's: it goes on when the future is dropped.
        let _permit = permit;
        work()
    };
    spawn_blocking(work).await?
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::sync::mpsc;
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_lookup_that_nobody_waits_for_counts_until_it_ends() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let (end, ended) = mpsc::sync_channel(1);
        let mut stuck = Box::pin(on_a_thread(&ONE, move || ended.recv().map_err(io::Error::other)));
        assert!(stuck.as_mut().now_or_never().is_none());
        drop(stuck);
        let mut next = Box::pin(on_a_thread(&ONE, || Ok(7)));
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!(ONE.available_permits(), 0, "the thread is still at it");
        end.send(()).unwrap();
        let next = tokio::time::timeout(Duration::from_secs(60), next).await.expect("its turn comes");
        assert_eq!(next.unwrap(), 7);
    }

    #[test]
    fn an_address_is_not_looked_up() {
        let found = lookup("::1", 80).now_or_never().expect("there is nothing to wait for").unwrap();
        assert_eq!(found, [SocketAddr::from((Ipv6Addr::LOCALHOST, 80))]);
    }
}
