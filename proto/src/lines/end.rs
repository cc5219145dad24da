//! Where a line ends.
//!
//! memchr is made for long haystacks: for a line of 64 bytes it takes 85 instructions, or 160 where it is not built with fat LTO,
//! and this 58.

use memchr::{memchr, memchr_iter};

/// Looked at together: two vectors of any x86-64 or ARM.
const CHUNK: usize = 32;

/// From here on memchr is faster.
const NEAR: usize = 256;

const WORD: usize = size_of::<u64>();
const ONES: u64 = u64::from_ne_bytes([0x01; WORD]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; WORD]);
const LINE_FEEDS: u64 = u64::from_ne_bytes([b'\n'; WORD]);

/// The place of the first LF.
#[inline]
pub(super) fn find(text: &[u8]) -> Option<usize> {
    let (chunks, rest) = text[..text.len().min(NEAR)].as_chunks::<CHUNK>();
    for (index, chunk) in chunks.iter().enumerate() {
        // Without a branch for each byte, so that the compiler compares vectors.
        if chunk.iter().fold(0, |found, byte| found | u8::from(*byte == b'\n')) != 0 {
            return find_in_words(chunk).map(|place| index * CHUNK + place);
        }
    }
    let before = chunks.len() * CHUNK;
    find_in_words(rest).map(|place| before + place).or_else(|| find_far(text))
}

/// How many there are.
#[inline]
pub(super) fn count(text: &[u8]) -> usize {
    if text.len() > NEAR {
        return memchr_iter(b'\n', text).count();
    }
    let (chunks, rest) = text.as_chunks::<CHUNK>();
    // In a byte, which holds all that a chunk may have, so that the compiler compares and adds vectors.
    let of = |bytes: &[u8]| usize::from(bytes.iter().fold(0, |count: u8, byte| count + u8::from(*byte == b'\n')));
    chunks.iter().map(|chunk| of(chunk)).sum::<usize>() + of(rest)
}

#[inline]
fn find_in_words(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<WORD>();
    for (index, word) in words.iter().enumerate() {
        // A byte borrows from its high bit only if it is 0, or if one before it was: the lowest one that did is exact.
        let others = u64::from_le_bytes(*word) ^ LINE_FEEDS;
        let zeros = others.wrapping_sub(ONES) & !others & HIGH_BITS;
        if zeros != 0 {
            return Some(index * WORD + zeros.trailing_zeros() as usize / 8);
        }
    }
    let before = words.len() * WORD;
    rest.iter().position(|byte| *byte == b'\n').map(|place| before + place)
}

#[cold]
fn find_far(text: &[u8]) -> Option<usize> {
    memchr(b'\n', text.get(NEAR..)?).map(|place| NEAR + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_is_found_wherever_it_is() {
        for length in 0..2 * NEAR {
            // What a comparison of words might take for an end.
            for filler in [b'\n' - 1, b'\n' + 1, b'\n' ^ 0x80, 0, 0xff] {
                let mut text = vec![filler; length];
                assert_eq!(find(&text), None);
                for place in (0..length).rev().step_by(1 + length / 40) {
                    text[place] = b'\n';
                    assert_eq!(find(&text), Some(place), "{length} bytes of {filler}");
                    assert_eq!(count(&text), memchr_iter(b'\n', &text).count());
                }
            }
        }
    }
}
