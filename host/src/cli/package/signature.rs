//! Signatures of minisign: Ed25519, made by a key whose public half the operator holds.

use std::fs;
use std::path::Path;

use minisign_verify::{PublicKey, Signature};

use super::super::error::{CliError, Exit};
use super::fetch::Fetcher;
use super::reference::Source;

/// How the name of a signature ends.
const ENDING: &str = ".minisig";

/// Holds a component against its signature, `SOURCE.minisig`, by the public key in a file, or by the key itself.
pub(super) fn verify(fetcher: &Fetcher, source: &Source, bytes: &[u8], key: &str) -> Result<(), CliError> {
    let key = public_key(key)?;
    let beside = match source {
        Source::File(path) => Source::File(format!("{}{ENDING}", path.display()).into()),
        Source::Url(url) => Source::Url(beside_url(url)),
        Source::Oci(_) => {
            let what = "signatures beside what is in a registry are not looked for";
            return Err(CliError::usage(what).hint("pin what you trust by its digest, oci://…@sha256:…"));
        }
    };
    let text = match &beside {
        Source::Url(url) => fetcher.url(url),
        other => fetcher.get(other, None),
    };
    let text = text.map_err(|error| error.hint("--key asks for a signature; `minisign -S -m FILE` makes one"))?;
    let denied = |what: &str| {
        CliError::new(Exit::Denied, format_args!("{beside}: {what}")).hint("nothing was installed; ask who made it")
    };
    let text = String::from_utf8(text).map_err(|_| denied("no signature of minisign"))?;
    let signature = Signature::decode(&text).map_err(|error| denied(&format!("no signature of minisign: {error}")))?;
    key.verify(bytes, &signature, false)
        .map_err(|error| denied(&format!("it does not sign {source} by that key: {error}")))
}

/// The URL of a signature: its ending belongs to the path, whatever is asked behind it.
fn beside_url(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (path, rest) = url.split_at(end);
    format!("{path}{ENDING}{rest}")
}

/// A public key, or the file of one.
fn public_key(key: &str) -> Result<PublicKey, CliError> {
    if let Ok(key) = PublicKey::from_base64(key) {
        return Ok(key);
    }
    let bad = |reason: &str| {
        CliError::usage(format_args!("--key {key}: {reason}"))
            .hint("give the file minisign.pub that `minisign -G` made, or the line in it that begins with RW")
    };
    let text = fs::read_to_string(Path::new(key)).map_err(|error| bad(&error.to_string()))?;
    PublicKey::decode(&text).map_err(|error| bad(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_beside_the_path() {
        for (url, signature) in [
            ("https://h/a.wasm", "https://h/a.wasm.minisig"),
            ("https://h/a.wasm?token=1&x=/y", "https://h/a.wasm.minisig?token=1&x=/y"),
            ("https://h/a.wasm#part?", "https://h/a.wasm.minisig#part?"),
        ] {
            assert_eq!(beside_url(url), signature);
        }
    }
}
