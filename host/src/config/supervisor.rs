//! What the service manager tells a process that it started, by the protocol of `sd_notify(3)` and `sd_watchdog_enabled(3)`.

use std::ffi::OsString;
use std::time::Duration;

/// The service manager that this process reports to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// The datagram socket it listens on: a path, or `@` and the name of an abstract one.
    pub socket: OsString,
    /// How long it lets the process be silent once it is ready; none when it does not watch.
    pub watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that `NOTIFY_SOCKET` names, if any. `WATCHDOG_USEC` counts unless `WATCHDOG_PID` names another process.
    #[must_use]
    pub fn of_environment() -> Option<Self> {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())?;
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let watched = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|us| watched && *us > 0).map(Duration::from_micros);
        Some(Self { socket, watchdog })
    }
}
