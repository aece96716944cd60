//! Frames in place, one at a time and in bursts: what is lent to the caller, and given back by sending it, releasing it, or
//! dropping it.
//!
//! A burst is one call into C to begin and one to end, whatever its length. What C writes about its frames lies in [`Packets`],
//! memory of the caller's that is never cleared or copied; of each entry only the fields are read that the call documents as
//! written.

use crate::error::Error;
use crate::sys::*;
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::slice;

/// Room for what the driver tells about the frames of a burst of up to `N`, 64 bytes each. Made once and used again for each
/// burst; its content does not matter between bursts.
pub struct Packets<const N: usize>([MaybeUninit<virtio_net_packet>; N]);

// SAFETY: plain memory. Its pointers are read by a burst only, which borrows the room alone, wrote them itself, and stays on its
// thread.
unsafe impl<const N: usize> Send for Packets<N> {}
// SAFETY: as above; nothing is read through a shared reference.
unsafe impl<const N: usize> Sync for Packets<N> {}

impl<const N: usize> Packets<N> {
    /// Costs nothing: the room is not cleared.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; N])
    }

    fn first(&mut self) -> NonNull<virtio_net_packet> {
        NonNull::from(&mut self.0).cast()
    }

    /// How many of `count` packets there is room for.
    fn limit(count: usize) -> u32 {
        // More than any ring has are as good as this.
        count.min(N).min(VIRTIO_NET_MAX_SLOTS as usize) as u32
    }
}

impl<const N: usize> Default for Packets<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for Packets<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packets").field("room", &N).finish_non_exhaustive()
    }
}

/// A length as C takes it. What does not fit is refused there, like everything that is longer than a frame.
pub(crate) fn length_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Where the bytes of a packet lie. The pool's memory was zeroed when it was allocated, so they are initialised; and they are the
/// device's only while nobody has the slot.
///
/// # Safety
/// C has written `data` and `length` of the packet.
unsafe fn bytes_of(packet: NonNull<virtio_net_packet>) -> *mut [u8] {
    let packet = packet.as_ptr();
    // SAFETY: by the caller's promise.
    unsafe { ptr::slice_from_raw_parts_mut((*packet).data, (*packet).length as usize) }
}

impl Packets<1> {
    /// One packet for a call that reads its slot, its length and its flags. In place: moving it would copy all of it.
    #[inline(always)]
    fn single(&mut self, slot: u16, length: usize) -> *const virtio_net_packet {
        let packet = self.first().as_ptr();
        // SAFETY: these are places in the room.
        unsafe {
            (&raw mut (*packet).slot).write(slot);
            (&raw mut (*packet).length).write(length_of(length));
            (&raw mut (*packet).flags).write(0);
        }
        packet
    }
}

/// A reserved transmit slot: its bytes are the frame to be. They are what an earlier frame left there, until they are written.
///
/// Dropping it without [`TxFrame::send`] gives the slot back. It stays on its thread.
///
/// ```standalone_crate
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/doc.rs"));
/// # fn main() -> Result<(), virtio_net_c::Error> {
/// # let (_plug, card, transport) = plug();
/// # use virtio_net_c::{NetDevice, Options};
/// # let mut net = NetDevice::<MyHal, _, 256, 256>::new(transport, Options::new())?;
/// let mut frame = net.reserve()?;
/// frame[..60].fill(0x55);
/// frame.send(60)?;
/// # assert_eq!(card.sent(), [[0x55; 60]]);
/// # Ok(())
/// # }
/// ```
///
/// A frame that was sent is the device's:
///
/// ```compile_fail,E0382
/// # fn example(frame: virtio_net_c::TxFrame<'_>) -> Result<(), virtio_net_c::Error> {
/// frame.send(60)?;
/// frame.send(60)
/// # }
/// ```
///
/// ```no_run
/// # fn example(frame: virtio_net_c::TxFrame<'_>) -> Result<(), virtio_net_c::Error> {
/// frame.send(60)
/// # }
/// ```
pub struct TxFrame<'a> {
    net: NonNull<virtio_net>,
    data: NonNull<u8>,
    capacity: u32,
    slot: u16,
    lifetime: PhantomData<&'a mut [u8]>,
}

impl TxFrame<'_> {
    /// # Safety
    /// `net` is a running driver whose context is set. For the frame's lifetime it stays in place, and no other thread is in a
    /// call of its transmit group.
    pub(crate) unsafe fn reserve(net: NonNull<virtio_net>) -> Result<Self, Error> {
        let mut room = Packets::<1>::new();
        let packet = room.first().as_ptr();
        // SAFETY: by the caller's promise, and there is room for one packet.
        Error::check(unsafe { virtio_net_tx_reserve(net.as_ptr(), 0, 0, packet, 1) })?;
        // SAFETY: C has written these fields, and `data` points at the slot's buffer.
        unsafe {
            Ok(Self {
                net,
                data: NonNull::new_unchecked((*packet).data),
                capacity: (*packet).length,
                slot: (*packet).slot,
                lifetime: PhantomData,
            })
        }
    }

    /// Posts the first `length` bytes as a frame.
    ///
    /// # Errors
    /// `FRAME_EMPTY` below 14 bytes, `FRAME_TOO_LONG`, `NEEDS_RESET`; the slot is given back.
    pub fn send(self, length: usize) -> Result<(), Error> {
        let this = ManuallyDrop::new(self);
        let mut room = Packets::<1>::new();
        let packet = room.single(this.slot, length);
        // SAFETY: by the promise given to `reserve`; the slot is reserved.
        let posted = Error::check(unsafe { virtio_net_tx_commit(this.net.as_ptr(), 0, 0, packet, 1) });
        if posted.is_err() {
            drop(ManuallyDrop::into_inner(this));
        }
        posted.map(drop)
    }
}

impl Deref for TxFrame<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the slot's buffer is the caller's alone until it is committed or cancelled, and holds as many bytes. It was
        // zeroed when it was allocated.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.capacity as usize) }
    }
}

impl DerefMut for TxFrame<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`.
        unsafe { slice::from_raw_parts_mut(self.data.as_ptr(), self.capacity as usize) }
    }
}

impl Drop for TxFrame<'_> {
    fn drop(&mut self) {
        let mut room = Packets::<1>::new();
        let packet = room.single(self.slot, 0);
        // SAFETY: by the promise given to `reserve`; the slot is still reserved.
        let _ = unsafe { virtio_net_tx_cancel(self.net.as_ptr(), 0, 0, packet, 1) };
    }
}

impl fmt::Debug for TxFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxFrame")
            .field("slot", &self.slot)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// Reserved transmit slots, to be written one after the other and sent together.
///
/// Dropping it without [`TxBurst::send`] gives all of them back, written or not. It stays on its thread.
///
/// ```standalone_crate
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/doc.rs"));
/// # fn main() -> Result<(), virtio_net_c::Error> {
/// # let (_plug, card, transport) = plug();
/// # use virtio_net_c::{NetDevice, Options, Packets};
/// # let mut net = NetDevice::<MyHal, _, 256, 256>::new(transport, Options::new())?;
/// let messages = ["one", "two", "three"];
/// let mut room = Packets::<32>::new();
/// let mut burst = net.reserve_burst(&mut room, messages.len())?;
/// for message in messages {
///     let Some(mut slot) = burst.next() else { break };
///     slot[..60].fill(0);
///     slot[14..14 + message.len()].copy_from_slice(message.as_bytes());
///     slot.finish(60);
/// }
/// assert_eq!(burst.send()?, 3);
/// # assert_eq!(card.sent().iter().map(|frame| frame[14]).collect::<Vec<_>>(), b"ott");
/// # Ok(())
/// # }
/// ```
///
/// A slot cannot be written after it was finished, nor after its burst was sent:
///
/// ```compile_fail,E0382
/// # fn example(mut burst: virtio_net_c::TxBurst<'_>) {
/// let mut slot = burst.next().unwrap();
/// slot.finish(60);
/// slot[0] = 1;
/// # }
/// ```
///
/// ```compile_fail,E0505
/// # fn example(mut burst: virtio_net_c::TxBurst<'_>) {
/// let mut slot = burst.next().unwrap();
/// let _ = burst.send();
/// slot[0] = 1;
/// # }
/// ```
///
/// ```no_run
/// # fn example(mut burst: virtio_net_c::TxBurst<'_>) {
/// let mut slot = burst.next().unwrap();
/// slot[0] = 1;
/// slot.finish(60);
/// let _ = burst.send();
/// # }
/// ```
pub struct TxBurst<'a> {
    net: NonNull<virtio_net>,
    packets: NonNull<virtio_net_packet>,
    reserved: u32,
    written: u32,
    lifetime: PhantomData<&'a mut [u8]>,
}

impl<'a> TxBurst<'a> {
    /// # Safety
    /// As for [`TxFrame::reserve`].
    pub(crate) unsafe fn reserve<const N: usize>(
        net: NonNull<virtio_net>,
        room: &'a mut Packets<N>,
        count: usize,
    ) -> Result<Self, Error> {
        let packets = room.first();
        let count = Packets::<N>::limit(count);
        // SAFETY: by the caller's promise, and there is room for so many packets.
        let reserved = Error::check(unsafe { virtio_net_tx_reserve(net.as_ptr(), 0, 0, packets.as_ptr(), count) })?;
        Ok(Self { net, packets, reserved, written: 0, lifetime: PhantomData })
    }

    /// Frames that can still be written: at first as many as were asked for, or fewer where fewer slots were free.
    #[must_use]
    pub fn remaining(&self) -> usize {
        (self.reserved - self.written) as usize
    }

    /// Frames written so far.
    #[must_use]
    pub fn written(&self) -> usize {
        self.written as usize
    }

    /// The next slot, or `None` where all are written. One that is dropped without [`TxSlot::finish`] is offered again.
    #[expect(clippy::should_implement_trait, reason = "each item borrows the burst")]
    pub fn next(&mut self) -> Option<TxSlot<'_>> {
        if self.written == self.reserved {
            return None;
        }
        // SAFETY: there are `reserved` packets, so the place is in the room.
        let packet = unsafe { self.packets.add(self.written as usize) };
        Some(TxSlot { packet, written: &mut self.written, lifetime: PhantomData })
    }

    /// Posts the frames that were written, in order, with one notification at most. Returns how many. Where one has a length that
    /// cannot be sent, it and those after it are not posted. Slots that are not posted are given back.
    ///
    /// # Errors
    /// None was posted: `FRAME_EMPTY` or `FRAME_TOO_LONG` of the first frame, `NEEDS_RESET`.
    pub fn send(self) -> Result<usize, Error> {
        let mut this = ManuallyDrop::new(self);
        if this.written == 0 {
            this.give_back(0);
            return Ok(0);
        }
        let packets = this.packets.as_ptr();
        // SAFETY: by the promise given to `reserve`; the first `written` packets are as it returned them, but for the length.
        let code = unsafe { virtio_net_tx_commit(this.net.as_ptr(), 0, 0, packets, this.written) };
        let posted = Error::check(code);
        if posted != Ok(this.reserved) {
            this.give_back(posted.unwrap_or(0));
        }
        posted.map(|count| count as usize)
    }

    /// Cancels all slots from this one on.
    #[cold]
    fn give_back(&mut self, from: u32) {
        if from == self.reserved {
            return;
        }
        // SAFETY: there are `reserved` packets, and those from here on are still reserved.
        let _ = unsafe {
            let first = self.packets.add(from as usize).as_ptr();
            virtio_net_tx_cancel(self.net.as_ptr(), 0, 0, first, self.reserved - from)
        };
    }
}

impl Drop for TxBurst<'_> {
    fn drop(&mut self) {
        self.give_back(0);
    }
}

impl fmt::Debug for TxBurst<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxBurst")
            .field("reserved", &self.reserved)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// One slot of a [`TxBurst`]: its bytes are the frame to be. They are what an earlier frame left there, until they are written.
pub struct TxSlot<'b> {
    packet: NonNull<virtio_net_packet>,
    written: &'b mut u32,
    lifetime: PhantomData<&'b mut [u8]>,
}

impl TxSlot<'_> {
    /// The first `length` bytes are the frame: 14 at least, and no more than there are. It is looked at by [`TxBurst::send`].
    pub fn finish(self, length: usize) {
        // SAFETY: the packet is in the burst's room, which C has written. The slot is offered no more, so its bytes are not
        // reached by this length.
        unsafe { (*self.packet.as_ptr()).length = length_of(length) };
        *self.written += 1;
    }
}

impl Deref for TxSlot<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the slot is reserved, and its length still that of its buffer, because it was not finished.
        unsafe { &*bytes_of(self.packet) }
    }
}

impl DerefMut for TxSlot<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`.
        unsafe { &mut *bytes_of(self.packet) }
    }
}

impl fmt::Debug for TxSlot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxSlot").field("number", &self.written).finish_non_exhaustive()
    }
}

/// A received frame, in place. Dropping it posts its buffer again. It stays on its thread.
///
/// ```standalone_crate
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/doc.rs"));
/// # fn main() -> Result<(), virtio_net_c::Error> {
/// # let (_plug, card, transport) = plug();
/// # use virtio_net_c::{NetDevice, Options};
/// # let mut net = NetDevice::<MyHal, _, 256, 256>::new(transport, Options::new())?;
/// # assert!(card.deliver(&[1; 60]));
/// while let Some(frame) = net.peek()? {
///     assert_eq!(frame.len(), 60);
/// }
/// # assert_eq!(card.buffers(), 256);
/// # Ok(())
/// # }
/// ```
pub struct RxFrame<'a> {
    net: NonNull<virtio_net>,
    data: NonNull<u8>,
    length: u32,
    slot: u16,
    lifetime: PhantomData<&'a mut [u8]>,
}

impl RxFrame<'_> {
    /// # Safety
    /// As for [`TxFrame::reserve`], for the receive group.
    pub(crate) unsafe fn peek(net: NonNull<virtio_net>) -> Result<Option<Self>, Error> {
        let mut room = Packets::<1>::new();
        let packet = room.first().as_ptr();
        // SAFETY: by the caller's promise, and there is room for one packet.
        if Error::check(unsafe { virtio_net_rx_peek(net.as_ptr(), 0, 0, packet, 1) })? == 0 {
            return Ok(None);
        }
        // SAFETY: C has written these fields, and `data` points at the slot's buffer.
        unsafe {
            Ok(Some(Self {
                net,
                data: NonNull::new_unchecked((*packet).data),
                length: (*packet).length,
                slot: (*packet).slot,
                lifetime: PhantomData,
            }))
        }
    }
}

impl Deref for RxFrame<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer is the caller's until it is released, and the driver checked its length.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.length as usize) }
    }
}

impl DerefMut for RxFrame<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`.
        unsafe { slice::from_raw_parts_mut(self.data.as_ptr(), self.length as usize) }
    }
}

impl Drop for RxFrame<'_> {
    fn drop(&mut self) {
        let mut room = Packets::<1>::new();
        let packet = room.single(self.slot, 0);
        // SAFETY: by the promise given to `peek`; the slot is still held.
        let _ = unsafe { virtio_net_rx_release(self.net.as_ptr(), 0, 0, packet, 1) };
    }
}

impl fmt::Debug for RxFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RxFrame").field("slot", &self.slot).field("length", &self.length).finish_non_exhaustive()
    }
}

/// Received frames, in place and in order. Dropping it posts their buffers again, all at once. It stays on its thread.
///
/// ```standalone_crate
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/doc.rs"));
/// # fn main() -> Result<(), virtio_net_c::Error> {
/// # let (_plug, card, transport) = plug();
/// # use virtio_net_c::{NetDevice, Options, Packets};
/// # let mut net = NetDevice::<MyHal, _, 256, 256>::new(transport, Options::new())?;
/// # for length in [60, 70, 80] { assert!(card.deliver(&vec![1; length])); }
/// let mut room = Packets::<32>::new();
/// let burst = net.peek_burst(&mut room)?;
/// let bytes: usize = burst.iter().map(<[u8]>::len).sum();
/// drop(burst);
/// # assert_eq!((bytes, card.buffers()), (210, 256));
/// # Ok(())
/// # }
/// ```
///
/// A frame does not outlive its burst, nor the room of a burst what the next one is written to:
///
/// ```compile_fail,E0505
/// # fn example(burst: virtio_net_c::RxBurst<'_>) -> u8 {
/// let frame = burst.iter().next().unwrap();
/// drop(burst);
/// frame[0]
/// # }
/// ```
///
/// ```compile_fail,E0499
/// # use virtio_net_c::{Error, Packets, Receiver};
/// # fn example<T>(mut rx: Receiver<'_, T>) -> Result<usize, Error> {
/// let mut room = Packets::<32>::new();
/// let first = rx.peek_burst(&mut room)?;
/// let second = rx.peek_burst(&mut room)?;
/// Ok(first.len() + second.len())
/// # }
/// ```
///
/// ```no_run
/// # use virtio_net_c::{Error, Packets, Receiver};
/// # fn example<T>(mut rx: Receiver<'_, T>) -> Result<usize, Error> {
/// let mut room = Packets::<32>::new();
/// let first = rx.peek_burst(&mut room)?.len();
/// let second = rx.peek_burst(&mut room)?;
/// let frame = second.iter().next().unwrap();
/// Ok(first + second.len() + usize::from(frame[0]))
/// # }
/// ```
pub struct RxBurst<'a> {
    net: NonNull<virtio_net>,
    packets: NonNull<virtio_net_packet>,
    count: u32,
    lifetime: PhantomData<&'a mut [u8]>,
}

impl<'a> RxBurst<'a> {
    /// # Safety
    /// As for [`RxFrame::peek`].
    pub(crate) unsafe fn peek<const N: usize>(
        net: NonNull<virtio_net>,
        room: &'a mut Packets<N>,
    ) -> Result<Self, Error> {
        let packets = room.first();
        let limit = Packets::<N>::limit(N);
        // SAFETY: by the caller's promise, and there is room for so many packets.
        let count = Error::check(unsafe { virtio_net_rx_peek(net.as_ptr(), 0, 0, packets.as_ptr(), limit) })?;
        Ok(Self { net, packets, count, lifetime: PhantomData })
    }

    /// How many frames there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether nothing was received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The frames in the order in which they came.
    pub fn iter(&self) -> RxFrames<'_> {
        RxFrames { packet: self.packets, left: self.len(), lifetime: PhantomData }
    }

    /// The same, to be changed in place.
    pub fn iter_mut(&mut self) -> RxFramesMut<'_> {
        RxFramesMut { packet: self.packets, left: self.len(), lifetime: PhantomData }
    }
}

impl Drop for RxBurst<'_> {
    fn drop(&mut self) {
        if self.count != 0 {
            // SAFETY: by the promise given to `peek`; there are so many packets, whose slots are still held.
            let _ = unsafe { virtio_net_rx_release(self.net.as_ptr(), 0, 0, self.packets.as_ptr(), self.count) };
        }
    }
}

impl fmt::Debug for RxBurst<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RxBurst").field("frames", &self.count).finish_non_exhaustive()
    }
}

impl<'b> IntoIterator for &'b RxBurst<'_> {
    type Item = &'b [u8];
    type IntoIter = RxFrames<'b>;

    fn into_iter(self) -> RxFrames<'b> {
        self.iter()
    }
}

impl<'b> IntoIterator for &'b mut RxBurst<'_> {
    type Item = &'b mut [u8];
    type IntoIter = RxFramesMut<'b>;

    fn into_iter(self) -> RxFramesMut<'b> {
        self.iter_mut()
    }
}

/// The frames of a [`RxBurst`].
#[derive(Clone, Debug)]
pub struct RxFrames<'b> {
    packet: NonNull<virtio_net_packet>,
    left: usize,
    lifetime: PhantomData<&'b [u8]>,
}

/// The frames of a [`RxBurst`], to be changed in place.
#[derive(Debug)]
pub struct RxFramesMut<'b> {
    packet: NonNull<virtio_net_packet>,
    left: usize,
    lifetime: PhantomData<&'b mut [u8]>,
}

/// Steps through the packets of a burst, which holds them for as long as the iterator lives.
macro_rules! iterate {
    ($iterator:ident, $item:ty, $bytes:ident => $borrow:expr) => {
        impl<'b> Iterator for $iterator<'b> {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                self.left = self.left.checked_sub(1)?;
                let packet = self.packet;
                // SAFETY: the packet is one of the burst's, so the next one is in the room, or just behind it.
                self.packet = unsafe { packet.add(1) };
                // SAFETY: C has written the packet.
                let $bytes = unsafe { bytes_of(packet) };
                // SAFETY: the burst holds the frame and is borrowed as the item is; this is the only step to it.
                Some(unsafe { $borrow })
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.left, Some(self.left))
            }
        }

        impl ExactSizeIterator for $iterator<'_> {}
        impl FusedIterator for $iterator<'_> {}
    };
}

iterate!(RxFrames, &'b [u8], bytes => &*bytes);
iterate!(RxFramesMut, &'b mut [u8], bytes => &mut *bytes);
