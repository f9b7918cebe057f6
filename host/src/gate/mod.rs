//! What stands before every face of the server: how connections come in, and who is let in.
//!
//! [`Incoming`] has the connections of a listener, within TLS if there is a certificate ([`Tls`]), and no more than
//! [`Connections`] has places for. [`Gate`] knows the
//! keys of the moment and finds who presents one; [`Caller`] carries that to where something is done, and asks `access`
//! whether it may be. [`Revocable`] ends what a key began when the key is taken back. [`KeysFile`] is where keys are
//! kept, and [`Reloading`] takes up what changes in that file and in the certificate's. [`Requests`] counts what a face is
//! asked, and how that was answered.
//!
//! No rule about who may do what is here: those are `access`'.

mod connections;
mod guard;
mod incoming;
mod keys_file;
mod pem;
mod reload;
mod requests;
mod revocable;
mod tls;

pub use connections::Connections;
pub use guard::{Caller, Gate, Refusals};
pub use incoming::{Connection, Incoming};
pub use keys_file::{KeysFile, KeysFileError, new_secret};
pub use reload::Reloading;
pub use requests::{InFlight, Requests, Route, RouteCounts};
pub use revocable::{Farewell, Revocable};
pub use tls::{Protocol, Tls, TlsError, TlsFiles};
