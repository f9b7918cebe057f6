//! TLS in front of a plain server of this test: what comes in is decrypted and handed on, and so is the answer.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use tidemill_tests::authority::Authority;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Begins to serve what is at `behind`, vouched for by an authority; answers host and port. It lives as long as the
/// test's process.
pub(crate) fn in_front_of(behind: &str, authority: &Authority) -> String {
    let (certificate, key) = authority.issue(false);
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, behind) = (listener.local_addr().unwrap().to_string(), behind.to_owned());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that does not trust the certificate goes away: that is its business.
            let _ = hand_on(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream), &behind);
        }
    });
    address
}

/// Hands one request without a body on, and its answer back.
fn hand_on(mut outside: StreamOwned<ServerConnection, TcpStream>, behind: &str) -> std::io::Result<()> {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        outside.read_exact(&mut byte)?;
        request.extend(byte);
    }
    let mut inside = TcpStream::connect(behind)?;
    inside.write_all(&request)?;
    let mut answer = Vec::new();
    inside.read_to_end(&mut answer)?;
    outside.write_all(&answer)?;
    outside.conn.send_close_notify();
    outside.flush()
}
