//! The header in front of a frame, as Rust reads it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The header that the device writes in front of a received frame (virtio 1.2, 5.1.6): 12 bytes, little-endian.
// Fields and traits are those of the original, whose fields are private too. Only `Debug` and zerocopy show them.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout)]
pub struct VirtioNetHdr {
    flags: Flags,
    gso_type: GsoType,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
    num_buffers: u16,
}

/// `VIRTIO_NET_HDR_F_*` bits.
#[repr(transparent)]
#[derive(Copy, Clone, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout)]
struct Flags(u8);

/// One of `VIRTIO_NET_HDR_GSO_*`.
#[repr(transparent)]
#[derive(Copy, Clone, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout)]
struct GsoType(u8);

#[cfg(feature = "alloc")]
impl VirtioNetHdr {
    /// The header at the start of `bytes`, of which as many are a header. What it lacks is 0: legacy devices write no
    /// `num_buffers`.
    pub(crate) fn read(bytes: &[u8], header_length: u8) -> Self {
        let mut header = Self::default();
        for (to, from) in header.as_mut_bytes().iter_mut().zip(bytes.iter().take(usize::from(header_length))) {
            *to = *from;
        }
        header
    }
}
