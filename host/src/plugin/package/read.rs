//! Reads a component's file, whatever it turns out to be.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::runtime::COMPONENT_BYTES_MAX;

/// The bytes of a component's file. Of what never ends, as of what is too large, no more is read than a host takes.
///
/// # Errors
/// When it cannot be read, or is larger than what a host takes.
pub fn read_component(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, COMPONENT_BYTES_MAX as u64)
}

/// The bytes of a file that has at most so many.
pub(crate) fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let reason = format!("it has more than {bytes_max} bytes, which no host takes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_read_to_its_bound() {
        let error = read_at_most(Path::new("/dev/zero"), 1000).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().contains("more than 1000 bytes")),
            (io::ErrorKind::FileTooLarge, true)
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [7; 1000]).unwrap();
        assert_eq!(read_at_most(file.path(), 1000).unwrap(), [7; 1000]);
    }
}
