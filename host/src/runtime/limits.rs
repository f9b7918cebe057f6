//! What one instance may use, and the limiter that holds memory and tables to it.
//!
//! The engine asks for each memory by itself; the limiter sums them. It remembers a refusal, because a
//! guest that is refused memory dies of something else (an abort, a null pointer) a moment later.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// Core instances that one component may consist of. Those of Python have about 40, compiled languages 1 to 5.
const INSTANCES_MAX: usize = 128;
/// Linear memories that one component may have.
const MEMORIES_MAX: usize = 4;
/// Tables that one component may have.
const TABLES_MAX: usize = 64;

/// What one instance of a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, summed over all memories, in bytes.
    pub memory_bytes: usize,
    /// Table elements, summed over all tables.
    pub table_elements: usize,
    /// Wall time of one call, in milliseconds; kept to within 20 ms.
    pub batch_time_ms: u64,
    /// Wall time of one query, in milliseconds; kept to within 20 ms.
    pub query_time_ms: u64,
    /// An answer to a query, in bytes.
    pub query_answer_bytes: usize,
    /// Instructions of one call, in the engine's units of fuel; none for as many as its time allows.
    pub fuel: Option<u64>,
    /// What the guest may hand to the host in one call of a host function, in bytes.
    pub hostcall_bytes: usize,
    /// What the guest may log while it handles one batch, in bytes; each line counts as 64 more than its text.
    pub log_bytes_per_batch: usize,
    /// HTTP requests that it may send while it handles one batch.
    pub http_requests_per_batch: u32,
    /// Body of one HTTP request, in bytes.
    pub http_request_bytes: u64,
    /// Body of one HTTP response, in bytes.
    pub http_response_bytes: u64,
    /// Wall time of one HTTP exchange, from resolving the name to the last byte, in milliseconds; never more
    /// than `batch_time_ms`.
    pub http_time_ms: u64,
}

/// Fuel of a call that has no limit: more than any call can use up, and little enough for the engine to count.
const FUEL_ENOUGH: u64 = u64::MAX / 2;

impl Limits {
    /// What a call begins with.
    pub(super) fn fuel(&self) -> u64 {
        self.fuel.unwrap_or(FUEL_ENOUGH)
    }

    /// How long one HTTP exchange may take.
    pub(super) fn http_time(&self) -> Duration {
        Duration::from_millis(self.http_time_ms.min(self.batch_time_ms))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            batch_time_ms: 1_000,
            query_time_ms: 1_000,
            query_answer_bytes: 1 << 20,
            fuel: None,
            hostcall_bytes: 8 << 20,
            log_bytes_per_batch: 64 << 10,
            http_requests_per_batch: 256,
            http_request_bytes: 1 << 20,
            http_response_bytes: 1 << 20,
            http_time_ms: 10_000,
        }
    }
}

/// Holds a store to its [`Limits`].
#[derive(Debug)]
pub(super) struct Limiter {
    memory_max: usize,
    elements_max: usize,
    memory: usize,
    elements: usize,
    refused: Option<String>,
}

impl Limiter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_max: limits.memory_bytes,
            elements_max: limits.table_elements,
            memory: 0,
            elements: 0,
            refused: None,
        }
    }

    /// Linear memory in use, in bytes.
    pub(super) const fn memory_bytes(&self) -> usize {
        self.memory
    }

    /// Takes what was refused since it was last asked, in words.
    pub(super) fn take_refused(&mut self) -> Option<String> {
        self.refused.take()
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_sub(current).saturating_add(desired);
        if wanted > self.memory_max {
            self.refused = Some(format!(
                "it asked for {} of memory and may have {}; raise `[limits] memory`, or keep less",
                mebibytes(wanted),
                mebibytes(self.memory_max)
            ));
            return Ok(false);
        }
        self.memory = wanted;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // Asked for more than its own declared maximum, or the machine has no more: the sum is then too
        // high by that growth, which errs on the side of the host.
        self.refused.get_or_insert_with(|| format!("memory could not grow: {error}"));
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.elements.saturating_sub(current).saturating_add(desired);
        if wanted > self.elements_max {
            self.refused = Some(format!("it asked for {wanted} table elements and may have {}", self.elements_max));
            return Ok(false);
        }
        self.elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

fn mebibytes(bytes: usize) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed_and_a_refusal_is_remembered_once() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 3 << 20, ..Limits::default() });
        assert!(limiter.memory_growing(0, 1 << 20, None).unwrap());
        assert!(limiter.memory_growing(0, 2 << 20, None).unwrap());
        assert!(!limiter.memory_growing(1 << 20, 2 << 20, None).unwrap(), "3 MiB are in use already");
        assert_eq!(limiter.memory_bytes(), 3 << 20);
        let refused = limiter.take_refused().unwrap();
        assert!(refused.contains("4.0 MiB") && refused.contains("3.0 MiB"), "{refused}");
        assert_eq!(limiter.take_refused(), None);
    }

    #[test]
    fn table_elements_are_summed() {
        let mut limiter = Limiter::new(&Limits { table_elements: 10, ..Limits::default() });
        assert!(limiter.table_growing(0, 8, None).unwrap());
        assert!(!limiter.table_growing(0, 3, None).unwrap());
        assert!(limiter.table_growing(8, 10, None).unwrap());
    }
}
