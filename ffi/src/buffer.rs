//! The buffers of the drop-in: received frames that lie in the driver's pool and may outlive it, and frames to be sent.

use super::header::VirtioNetHdr;
use super::pool::Pool;
use super::virtio_drivers::PhysAddr;
use crate::sys::virtio_net_copy;
use alloc::alloc::{alloc, alloc_zeroed, dealloc, handle_alloc_error};
use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// A received frame, in the driver's receive pool.
///
/// It may be kept, moved to another thread, and outlive the driver. Recycle it, or drop it: its slot returns either way.
#[derive(Debug)]
pub struct RxBuffer {
    pool: NonNull<Pool>,
    frame: NonNull<u8>,
    length: u16,
    capacity: u16,
    slot: u16,
    header_length: u8,
}

// SAFETY: the frame belongs to this value alone, and of the pool it uses only what is atomic.
unsafe impl Send for RxBuffer {}
// SAFETY: through a shared reference the frame is only read.
unsafe impl Sync for RxBuffer {}

impl RxBuffer {
    /// # Safety
    /// `frame` has `capacity` bytes, all of them written, `length` at least, and `header` before them, which are this buffer's
    /// alone until its slot is given back to the driver that `pool` is of.
    pub(crate) unsafe fn new(
        pool: NonNull<Pool>,
        frame: NonNull<u8>,
        (length, capacity): (u16, u16),
        slot: u16,
        header: u8,
    ) -> Self {
        Self { pool, frame, length, capacity, slot, header_length: header }
    }

    /// The slot, where the buffer is of this pool; else the buffer.
    pub(crate) fn into_slot(self, pool: NonNull<Pool>) -> Result<u16, Self> {
        if self.pool != pool {
            return Err(self);
        }
        let slot = self.slot;
        core::mem::forget(self);
        Ok(slot)
    }

    /// Bytes of the frame.
    pub const fn packet_len(&self) -> usize {
        self.length as usize
    }

    fn bytes(&self) -> NonNull<[u8]> {
        let header = usize::from(self.header_length);
        // SAFETY: the header lies in front of the frame, in the same allocation.
        let start = unsafe { self.frame.sub(header) };
        NonNull::slice_from_raw_parts(start, header + usize::from(self.capacity))
    }

    /// The whole buffer: the header, the frame, and behind it what was there before.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the bytes are this buffer's alone. `dma_alloc` zeroed them, and the device has written some since.
        unsafe { self.bytes().as_ref() }
    }

    /// The whole buffer: the header, the frame, and behind it what was there before.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `as_bytes`.
        unsafe { self.bytes().as_mut() }
    }

    /// The header. A legacy device's has no `num_buffers`, which is then 0.
    pub fn header(&self) -> VirtioNetHdr {
        VirtioNetHdr::read(self.as_bytes(), self.header_length)
    }

    /// The frame.
    pub fn packet(&self) -> &[u8] {
        // SAFETY: as for `as_bytes`.
        unsafe { core::slice::from_raw_parts(self.frame.as_ptr(), self.packet_len()) }
    }

    /// The frame.
    pub fn packet_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `as_bytes`.
        unsafe { core::slice::from_raw_parts_mut(self.frame.as_ptr(), self.packet_len()) }
    }
}

impl Drop for RxBuffer {
    fn drop(&mut self) {
        // SAFETY: the pool lives until this buffer has released it.
        unsafe { self.pool.as_ref() }.give_back(self.slot);
        // SAFETY: the buffer is not used afterwards.
        unsafe { Pool::release_buffer(self.pool) };
    }
}

/// Bytes in front of a frame to be sent, for the driver's header, so that the frame is 16-byte aligned.
const TX_HEADROOM: usize = 16;

/// What precedes the bytes of a frame to be sent, in the same block of the heap.
#[repr(C, align(16))]
struct TxBlock {
    length: usize,
    /// Where the device finds the block while it is posted.
    shared_at: PhysAddr,
    headroom: [u8; TX_HEADROOM],
}

/// A frame to be sent.
///
/// It is one block of the heap with room for the driver's header in front of the frame, so that it can be handed to the device as
/// it is.
#[derive(Debug)]
pub struct TxBuffer(NonNull<TxBlock>);

// SAFETY: the block belongs to this value alone.
unsafe impl Send for TxBuffer {}
// SAFETY: through a shared reference the block is only read.
unsafe impl Sync for TxBuffer {}

impl TxBuffer {
    fn layout(length: usize) -> Layout {
        match Layout::from_size_align(size_of::<TxBlock>().saturating_add(length), align_of::<TxBlock>()) {
            Ok(layout) => layout,
            // More than a heap can hold: what the allocator says of the largest block it could be asked for.
            Err(_) => handle_alloc_error(Layout::new::<TxBlock>()),
        }
    }

    /// # Safety
    /// `block` is a new allocation of this layout, which is that for `length`, or null.
    unsafe fn adopt(block: *mut u8, layout: Layout, length: usize) -> Self {
        let Some(block) = NonNull::new(block.cast::<TxBlock>()) else { handle_alloc_error(layout) };
        // SAFETY: the block is new and large enough.
        unsafe { block.write(TxBlock { length, shared_at: 0, headroom: [0; TX_HEADROOM] }) };
        Self(block)
    }

    /// A frame of `length` zero bytes.
    pub(crate) fn zeroed(length: usize) -> Self {
        let layout = Self::layout(length);
        // SAFETY: the layout's size is not zero.
        unsafe { Self::adopt(alloc_zeroed(layout), layout, length) }
    }

    /// A copy of a frame. With the feature `simd` it may use vector registers.
    // The name and the form are those of the type whose place this one takes.
    #[allow(clippy::should_implement_trait)]
    pub fn from(frame: &[u8]) -> Self {
        let layout = Self::layout(frame.len());
        // SAFETY: the layout's size is not zero.
        let buffer = unsafe { Self::adopt(alloc(layout), layout, frame.len()) };
        let (to, from) = (buffer.frame(), frame.as_ptr());
        match u32::try_from(frame.len()) {
            // By the driver's own copy, because the compiler's `memcpy` is slow on some machines.
            // SAFETY: the block has as many bytes behind its head, and is not the caller's.
            Ok(bytes) => unsafe { virtio_net_copy(to.cast(), from.cast(), bytes) },
            // SAFETY: as above.
            Err(_) => unsafe { core::ptr::copy_nonoverlapping(from, to, frame.len()) },
        }
        buffer
    }

    pub(crate) fn frame(&self) -> *mut u8 {
        // SAFETY: the frame's bytes follow the head in the same allocation.
        unsafe { self.0.add(1).as_ptr().cast() }
    }

    /// Bytes of the frame.
    pub fn packet_len(&self) -> usize {
        // SAFETY: the block is valid for as long as this value lives.
        unsafe { self.0.as_ref() }.length
    }

    /// The frame.
    pub fn packet(&self) -> &[u8] {
        // SAFETY: the block has as many bytes, all of them written.
        unsafe { core::slice::from_raw_parts(self.frame(), self.packet_len()) }
    }

    /// The frame.
    pub fn packet_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `packet`.
        unsafe { core::slice::from_raw_parts_mut(self.frame(), self.packet_len()) }
    }

    /// The frame and the `header` bytes in front of it, for `Hal::share`.
    ///
    /// # Safety
    /// `header` is at most 16.
    #[inline]
    pub(crate) unsafe fn with_header(&self, header: usize) -> NonNull<[u8]> {
        // SAFETY: the headroom lies in front of the frame, in the same allocation, and is as long by the caller's promise.
        let start = unsafe { NonNull::new_unchecked(self.frame().sub(header)) };
        NonNull::slice_from_raw_parts(start, header + self.packet_len())
    }

    pub(crate) fn set_shared_at(&mut self, address: PhysAddr) {
        // SAFETY: the block is valid for as long as this value lives.
        unsafe { self.0.as_mut() }.shared_at = address;
    }

    pub(crate) fn shared_at(&self) -> PhysAddr {
        // SAFETY: the block is valid for as long as this value lives.
        unsafe { self.0.as_ref() }.shared_at
    }

    /// Drops the buffer for whoever knows its length, or even a limit to it, which most allocators have a use for.
    ///
    /// # Safety
    /// `length` is [`Self::packet_len`].
    #[inline]
    pub(crate) unsafe fn free(self, length: usize) {
        // SAFETY: by the caller's promise; the buffer is forgotten.
        unsafe { ManuallyDrop::new(self).release(length) };
    }

    /// # Safety
    /// `length` is [`Self::packet_len`], and the buffer is not used afterwards.
    #[inline]
    unsafe fn release(&mut self, length: usize) {
        // SAFETY: the block was allocated with this layout, which was checked then.
        unsafe {
            let layout = Layout::from_size_align_unchecked(size_of::<TxBlock>() + length, align_of::<TxBlock>());
            dealloc(self.0.as_ptr().cast(), layout);
        }
    }

    /// The driver's cookie for the buffer, if that is forgotten.
    #[inline]
    pub(crate) fn cookie(&self) -> u64 {
        self.0.as_ptr().expose_provenance() as u64
    }

    /// # Safety
    /// The cookie is from [`TxBuffer::cookie`] of a buffer that was forgotten, and is used once.
    pub(crate) unsafe fn from_cookie(cookie: u64) -> Option<Self> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(cookie as usize)).map(Self)
    }
}

impl Drop for TxBuffer {
    fn drop(&mut self) {
        // SAFETY: this is the buffer's end.
        unsafe { self.release(self.packet_len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::sync::atomic::{AtomicUsize, Ordering};

    static FREED: AtomicUsize = AtomicUsize::new(0);

    unsafe fn count(_: PhysAddr, _: NonNull<u8>, pages: usize) -> i32 {
        FREED.fetch_add(pages, Ordering::Relaxed);
        0
    }

    /// The pool goes with whoever is last, the driver or a buffer, and exactly once.
    #[test]
    fn pool_lives_until_the_last_user() {
        for driver_first in [true, false] {
            let start = FREED.load(Ordering::Relaxed);
            let Some(pool) = Pool::new(40, count) else { return assert_eq!("memory", "none") };
            let pool = NonNull::from(alloc::boxed::Box::leak(pool));
            let mut frame = [0_u8; 64];
            let data = NonNull::from(&mut frame).cast::<u8>();
            // SAFETY: the frame outlives the buffers, and nobody else uses it.
            let lend = |slot| unsafe { RxBuffer::new(pool, data.add(12), (20, 52), slot, 12) };
            let (first, second, third) = (lend(3), lend(35), lend(36));
            assert_eq!(third.into_slot(pool).ok(), Some(36), "recycled: no part in the pool's end");
            // SAFETY: the driver's part.
            unsafe {
                assert!(pool.as_ref().make_room(1).is_some());
                pool.as_ref().keep(4096, data, 7);
            }
            drop(first);
            let mut slots = Vec::new();
            // SAFETY: the driver has not released the pool.
            unsafe { pool.as_ref() }.harvest(|slot| slots.push(slot));
            assert_eq!(slots, [3]);
            // SAFETY: as above.
            assert!(!unsafe { pool.as_ref() }.is_home(1));
            if driver_first {
                // SAFETY: the driver's only release, with the buffer that was lent and neither recycled nor found.
                unsafe { Pool::release_driver(pool, 1) };
                assert_eq!(FREED.load(Ordering::Relaxed), start, "a buffer is still lent");
                drop(second);
            } else {
                drop(second);
                // SAFETY: as above.
                assert!(unsafe { pool.as_ref() }.is_home(1));
                assert_eq!(FREED.load(Ordering::Relaxed), start, "the driver is still there");
                // SAFETY: as above.
                unsafe { Pool::release_driver(pool, 1) };
            }
            assert_eq!(FREED.load(Ordering::Relaxed), start + 7);
        }
    }

    #[test]
    fn tx_buffers_keep_their_bytes() {
        for length in [0, 1, 60, 1514, 9000] {
            let bytes: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let buffer = TxBuffer::from(&bytes);
            assert_eq!(buffer.packet(), bytes);
            // SAFETY: there is room for 16 bytes.
            assert_eq!(unsafe { buffer.with_header(12) }.len(), length + 12);
            assert_eq!(buffer.packet().as_ptr() as usize % 16, 0);
            let cookie = ManuallyDrop::new(buffer).cookie();
            // SAFETY: the cookie was just made.
            let buffer = unsafe { TxBuffer::from_cookie(cookie) };
            assert_eq!(buffer.as_ref().map(TxBuffer::packet), Some(&*bytes));
            assert!(TxBuffer::zeroed(length).packet().iter().all(|byte| *byte == 0));
        }
    }
}
