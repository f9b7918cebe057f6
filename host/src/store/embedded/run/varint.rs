//! Numbers in as few bytes as they need: LEB128 of a u64, seven bits a byte, low bits first.

/// Most bytes of a number.
pub(super) const BYTES_MAX: usize = 10;

/// Bytes that [`put`] will append.
pub(super) const fn bytes(number: u64) -> usize {
    // One more than the place of the highest bit set, in sevens.
    (63 - (number | 1).leading_zeros() as usize) / 7 + 1
}

/// Appends a number.
#[inline]
pub(super) fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front; none when it is cut off or no u64.
#[inline]
pub(super) fn take(input: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(first.into());
    }
    take_long(input)
}

fn take_long(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for (at, &byte) in input.iter().enumerate().take(BYTES_MAX) {
        if at == BYTES_MAX - 1 && byte > 1 {
            return None;
        }
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *input = input.get(at + 1..)?;
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive_the_round_trip(number in any::<u64>(), shift in 0..64, tail in any::<[u8; 2]>()) {
            let number = number >> shift;
            let mut out = Vec::new();
            put(number, &mut out);
            prop_assert_eq!(out.len(), bytes(number));
            prop_assert_eq!(take(&mut &out[..out.len() - 1]), None);
            out.extend(tail);
            let mut input = &out[..];
            prop_assert_eq!(take(&mut input), Some(number));
            prop_assert_eq!(input, &tail[..]);
        }

        #[test]
        fn arbitrary_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = take(&mut &input[..]);
        }
    }

    #[test]
    fn more_than_64_bits_are_refused() {
        assert_eq!(take(&mut &[0xff; 12][..]), None);
        let largest = [&[0xff; 9][..], &[1]].concat();
        assert_eq!(take(&mut &largest[..]), Some(u64::MAX));
        let above = [&[0xff; 9][..], &[2]].concat();
        assert_eq!(take(&mut &above[..]), None);
    }
}
