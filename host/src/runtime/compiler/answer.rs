//! The answer of a compiling process on its stdout.
//!
//! `MAGIC`, one byte of what it is, the length of what follows as a little-endian u64, its SHA-256, and then it:
//! the artefact, or the reason why there is none.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// First bytes of an answer; the last of them is the format.
const MAGIC: &[u8; 8] = b"TMCOMPI\x01";
/// Bytes before what is answered.
const HEAD_BYTES: usize = MAGIC.len() + 1 + 8 + 32;
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// What a component was compiled to, or why it was not.
pub(super) type Answer = Result<Vec<u8>, String>;

/// Writes an answer.
pub(super) fn write(answer: &Answer, output: &mut dyn Write) -> io::Result<()> {
    let (kind, bytes) = match answer {
        Ok(artefact) => (1, artefact.as_slice()),
        Err(reason) => (0, reason.as_bytes()),
    };
    output.write_all(MAGIC)?;
    output.write_all(&[kind])?;
    output.write_all(&u64::try_from(bytes.len()).map_err(io::Error::other)?.to_le_bytes())?;
    output.write_all(&Sha256::digest(bytes))?;
    output.write_all(bytes)?;
    output.flush()
}

/// Reads an answer to its end; none if it is not complete, or not one.
pub(super) fn read(input: &mut dyn Read) -> io::Result<Option<Answer>> {
    let mut all = Vec::new();
    input.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut all)?;
    Ok(parse(all))
}

fn parse(mut all: Vec<u8>) -> Option<Answer> {
    let rest = all.strip_prefix(MAGIC)?;
    let (kind, rest) = rest.split_first()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (hash, bytes) = rest.split_first_chunk::<32>()?;
    let complete = u64::try_from(bytes.len()).ok()? == u64::from_le_bytes(*length);
    if !complete || Sha256::digest(bytes).as_slice() != hash {
        return None;
    }
    match kind {
        1 => Some(Ok(all.split_off(HEAD_BYTES))),
        0 => Some(Err(String::from_utf8_lossy(bytes).into_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_answer_is_one() {
        for answer in [Ok(vec![1, 2, 3]), Err("no".to_owned()), Ok(Vec::new())] {
            let mut said = Vec::new();
            write(&answer, &mut said).unwrap();
            assert_eq!(read(&mut said.as_slice()).unwrap(), Some(answer));
            for length in 0..said.len() {
                assert_eq!(parse(said[..length].to_vec()), None, "the first {length} bytes");
            }
            for index in 0..said.len() {
                let mut flipped = said.clone();
                flipped[index] ^= 0x40;
                assert_eq!(parse(flipped), None, "byte {index}");
            }
            said.push(0);
            assert_eq!(parse(said), None);
        }
    }
}
