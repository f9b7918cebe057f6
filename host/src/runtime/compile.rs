//! From bytes to machine code, in this process.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::LoadError;
use super::fault::chain;

/// Largest component that is compiled, in bytes: compiling takes time and memory in proportion.
pub(crate) const COMPONENT_BYTES_MAX: usize = 64 << 20;
/// First bytes of every WebAssembly binary.
const WASM_MAGIC: &[u8] = b"\0asm";
/// Version and layer of a core module, after the magic.
const CORE_LAYER: &[u8] = &[1, 0, 0, 0];
/// How many bytes of something else are shown.
const SHOWN_BYTES: usize = 8;

/// SHA-256 of a component's bytes, in hex.
pub(super) fn digest(component: &[u8]) -> String {
    Sha256::digest(component).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Refuses what is not a component by its size and its first bytes.
pub(super) fn check_kind(component: &[u8]) -> Result<(), LoadError> {
    let bytes = component.len();
    if bytes > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge { bytes, bytes_max: COMPONENT_BYTES_MAX });
    }
    let Some(rest) = component.strip_prefix(WASM_MAGIC) else {
        let first = component.get(..SHOWN_BYTES.min(bytes)).unwrap_or_default();
        let found = if first.is_empty() { "nothing".into() } else { format!("\"{}\"", first.escape_ascii()) };
        return Err(LoadError::NotWasm { found });
    };
    if rest.starts_with(CORE_LAYER) {
        return Err(LoadError::CoreModule);
    }
    Ok(())
}

/// Compiles a component. A panic of the compiler costs this component only.
pub(super) fn compile(engine: &wasmtime::Engine, component: &[u8]) -> Result<Component, LoadError> {
    match catch_unwind(AssertUnwindSafe(|| Component::from_binary(engine, component))) {
        Ok(compiled) => compiled.map_err(|error| LoadError::Invalid { reason: chain(&error) }),
        Err(_) => Err(LoadError::Engine { reason: "it panicked while compiling; the host's log has more".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert_eq!(check_kind(b"\0asm\x0d\0\x01\0"), Ok(()));
        assert_eq!(check_kind(b"\0asm\x01\0\0\0rest"), Err(LoadError::CoreModule));
        assert_eq!(check_kind(b""), Err(LoadError::NotWasm { found: "nothing".into() }));
        assert_eq!(check_kind(b"\x7fELF"), Err(LoadError::NotWasm { found: "\"\\x7fELF\"".into() }));
        let large = vec![0; COMPONENT_BYTES_MAX + 1];
        assert!(matches!(check_kind(&large), Err(LoadError::TooLarge { .. })));
    }

    #[test]
    fn the_digest_is_sha_256_in_hex() {
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
