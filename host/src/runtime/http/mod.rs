//! Outbound HTTP for plugins that are granted it: what may be asked (`url`, `address`), how it is asked
//! (`client`, `lookup`), and what the guest is told when it may not be (`outbound`).
//!
//! Linked only for components that import it and whose plugin is granted some. Redirects are not followed:
//! the guest sees them, and a request to where they lead is checked like any other. Every exchange ends
//! within its time, and holds no more bytes than its limits.

mod address;
mod body;
mod client;
mod lookup;
mod outbound;
mod trust;
mod url;

pub use address::AddressGrant;
pub(super) use outbound::Outbound;
pub use trust::Trust;
pub use url::HttpGrant;
