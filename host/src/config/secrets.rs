//! Where the host gets the secrets that manifests name: its environment, and files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::plugin::{SecretResolver, SecretSource};

/// Largest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The environment and the files of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostSecrets;

impl SecretResolver for HostSecrets {
    fn resolve(&self, source: &SecretSource) -> Result<String, String> {
        match source {
            SecretSource::Environment(name) => std::env::var(name).map_err(|error| error.to_string()),
            SecretSource::File(path) => read(path),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > SECRET_BYTES_MAX {
        return Err(format!("it has more than {SECRET_BYTES_MAX} bytes, which is no secret"));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_without_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "a\nb\r\n").unwrap();
        assert_eq!(HostSecrets.resolve(&SecretSource::File(path.clone())), Ok("a\nb".into()));
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(HostSecrets.resolve(&SecretSource::File(path)).unwrap_err().contains("65536"));
        assert!(HostSecrets.resolve(&SecretSource::File(folder.path().join("none"))).is_err());
        assert!(HostSecrets.resolve(&SecretSource::Environment("TIDEMILL_NO_SUCH_SECRET".into())).is_err());
    }
}
