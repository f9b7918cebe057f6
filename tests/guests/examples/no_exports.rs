//! A component that plays no role: it exports nothing of the contract.

#![expect(unsafe_code, reason = "an export by hand")]

/// Keeps the file from being empty.
#[unsafe(no_mangle)]
pub extern "C" fn unrelated() -> i32 {
    42
}
