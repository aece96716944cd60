//! The frames of the exchange test: both ends make the same ones from a seed, so that the receiver knows every byte.
//!
//! A frame is: destination (6 bytes), source (6), ethertype 0x88b5 (2), index (4, big-endian, from 0 in each direction),
//! then bytes of the generator up to the frame's length. With `m = mix(seed, direction, index)`
//! - the length is `60 + m % 1455`, that is 60 to 1514 bytes,
//! - byte `k` of the frame, from 18 on, is `low byte of (m >> (8 * (k % 8)))` plus the low byte of `k`, modulo 256.
//!
//! Directions are 1 from the kernel to the peer and 2 from the peer to the kernel.

/// The ethertype of the exchange's frames (IEEE 802, local experimental 1).
pub const ETHERTYPE_DATA: u16 = 0x88b5;
/// The ethertype of the frame that tells the peer that the kernel is there (local experimental 2).
pub const ETHERTYPE_READY: u16 = 0x88b6;
/// The peer's address.
pub const PEER: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The longest frame: a 1,500-byte packet with its Ethernet header.
pub const MAX_LENGTH: usize = 1514;
/// The shortest frame, without its check sequence.
pub const MIN_LENGTH: usize = 60;
const HEADER_LENGTH: usize = 18;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the kernel to the peer.
    ToPeer = 1,
    /// From the peer to the kernel.
    ToKernel = 2,
}

/// The splitmix64 generator's output function over the exclusive or of the inputs.
pub fn mix(seed: u64, direction: Direction, index: u32) -> u64 {
    let mut z = (seed ^ direction as u64 ^ u64::from(index)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The length of a frame.
pub fn length(seed: u64, direction: Direction, index: u32) -> usize {
    MIN_LENGTH + (mix(seed, direction, index) % 1455) as usize
}

fn payload_byte(bits: [u8; 8], k: usize) -> u8 {
    bits[k % 8].wrapping_add(k as u8)
}

/// Writes a frame into `frame`, whose length must be what [`length`] says.
pub fn fill(frame: &mut [u8], destination: [u8; 6], source: [u8; 6], seed: u64, direction: Direction, index: u32) {
    let bits = mix(seed, direction, index).to_le_bytes();
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    frame[12..14].copy_from_slice(&ETHERTYPE_DATA.to_be_bytes());
    frame[14..HEADER_LENGTH].copy_from_slice(&index.to_be_bytes());
    for (k, byte) in frame.iter_mut().enumerate().skip(HEADER_LENGTH) {
        *byte = payload_byte(bits, k);
    }
}

/// The frame that says that the kernel is ready: its payload is the kernel's address.
pub fn ready(mac: [u8; 6]) -> [u8; MIN_LENGTH] {
    let mut frame = [0; MIN_LENGTH];
    frame[..6].copy_from_slice(&PEER);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&ETHERTYPE_READY.to_be_bytes());
    frame[14..20].copy_from_slice(&mac);
    frame
}

/// What the receiver makes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not a frame of the exchange.
    Foreign,
    /// A frame of the exchange whose address, index, length or content is wrong.
    Corrupt,
    /// The frame of this index, every byte of it right.
    Good(u32),
}

/// Checks a frame that came from the peer, byte for byte.
pub fn check(frame: &[u8], mac: [u8; 6], seed: u64, frames: u32) -> Verdict {
    let Some((header, _)) = frame.split_first_chunk::<HEADER_LENGTH>() else {
        return Verdict::Foreign;
    };
    if header[12..14] != ETHERTYPE_DATA.to_be_bytes() {
        return Verdict::Foreign;
    }
    let for_us = header[..6] == mac || header[..6] == [0xff; 6];
    let index = u32::from_be_bytes([header[14], header[15], header[16], header[17]]);
    let from_peer = header[6..12] == PEER;
    if !for_us || !from_peer || index >= frames || frame.len() != length(seed, Direction::ToKernel, index) {
        return Verdict::Corrupt;
    }
    let bits = mix(seed, Direction::ToKernel, index).to_le_bytes();
    let right = frame.iter().enumerate().skip(HEADER_LENGTH).all(|(k, byte)| *byte == payload_byte(bits, k));
    if right { Verdict::Good(index) } else { Verdict::Corrupt }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    fn frame_to_kernel(seed: u64, index: u32) -> Vec<u8> {
        let mut frame = vec![0; length(seed, Direction::ToKernel, index)];
        fill(&mut frame, MAC, PEER, seed, Direction::ToKernel, index);
        frame
    }

    /// The generator's reference values: the first outputs of splitmix64 from state 0 and from state 1234567.
    #[test]
    fn mix_is_splitmix64() {
        assert_eq!(mix(1, Direction::ToPeer, 0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(1_234_567 ^ 2, Direction::ToKernel, 0), 6_457_827_717_110_365_317);
    }

    #[test]
    fn lengths_stay_within_ethernet() {
        for index in 0..10_000 {
            let length = length(99, Direction::ToPeer, index);
            assert!((MIN_LENGTH..=MAX_LENGTH).contains(&length));
        }
    }

    #[test]
    fn bytes_are_as_described() {
        let seed = 7;
        let index = 0x0102_0304;
        let m = mix(seed, Direction::ToPeer, index);
        let mut frame = vec![0; length(seed, Direction::ToPeer, index)];
        fill(&mut frame, PEER, MAC, seed, Direction::ToPeer, index);
        assert_eq!(frame[..18], [2, 0, 0, 0, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 0x88, 0xb5, 1, 2, 3, 4]);
        for (k, byte) in frame.iter().enumerate().skip(18) {
            assert_eq!(*byte, ((m >> (8 * (k % 8))) as u8).wrapping_add(k as u8));
        }
    }

    #[test]
    fn good_frames_are_known_by_their_index() {
        for index in 0..200 {
            assert_eq!(check(&frame_to_kernel(5, index), MAC, 5, 200), Verdict::Good(index));
        }
        let mut broadcast = frame_to_kernel(5, 3);
        broadcast[..6].fill(0xff);
        assert_eq!(check(&broadcast, MAC, 5, 200), Verdict::Good(3));
    }

    #[test]
    fn each_wrong_byte_is_seen() {
        let good = frame_to_kernel(11, 4);
        for position in (0..12).chain(14..good.len()) {
            let mut bad = good.clone();
            bad[position] ^= 0x40;
            assert_eq!(check(&bad, MAC, 11, 8), Verdict::Corrupt, "byte {position}");
        }
        assert_eq!(check(&good[..good.len() - 1], MAC, 11, 8), Verdict::Corrupt);
        assert_eq!(check(&good, MAC, 12, 8), Verdict::Corrupt);
        assert_eq!(check(&good, MAC, 11, 4), Verdict::Corrupt);
    }

    #[test]
    fn other_frames_are_foreign() {
        assert_eq!(check(&[], MAC, 1, 1), Verdict::Foreign);
        assert_eq!(check(&ready(MAC), MAC, 1, 1), Verdict::Foreign);
    }
}
