//! Frames as `c/bench.h` describes them, for the users in Rust.

/// The longest frame, and a virtio header.
pub const LONGEST: usize = 1514;

/// The length of a frame: `constant`, or where that is 0 one that depends on the number.
#[inline(never)]
pub fn length(constant: u32, number: u32) -> usize {
    let mixed = 60 + (number.wrapping_mul(2_654_435_761) >> 8) % 1455;
    (if constant != 0 { constant } else { mixed }) as usize
}

/// Writes what a frame begins with. Never inlined, so that it costs the same around every driver.
#[inline(never)]
pub fn write(frame: &mut [u8], number: u32) {
    let Some((head, _)) = frame.split_first_chunk_mut::<20>() else { return };
    head[..12].fill(2);
    head[12..16].copy_from_slice(&[0x88, 0xb5, 0, 0]);
    head[16..].copy_from_slice(&number.to_le_bytes());
}

/// Never inlined either. 0 where the frame has this number and this length, else 1.
#[inline(never)]
pub fn judge(frame: &[u8], number: u32, length: usize) -> u32 {
    let right = frame.get(16..20) == Some(&number.to_le_bytes()[..]);
    // No `&&`: a wrong frame costs what a right one does.
    u32::from(!(right & (frame.len() == length)))
}
