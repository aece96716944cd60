//! The drop-in for `virtio_drivers::device::net::VirtIONet`.
//!
//! The interface is the same; what lies behind it differs, to the caller's advantage:
//!
//! - `send` returns once the frame is posted. Small frames are copied to a slot, large ones stay in their buffer until the device
//!   has sent them. It waits, with a limit, only where every slot is taken, and then returns `QueueFull`.
//! - `receive` looks ahead by a few frames, so that one call into C serves several; recycled buffers go back a few at a time.
//! - A received frame lies in the driver's DMA pool; nothing is copied or allocated for it. The buffer may be dropped without
//!   being recycled, given to another driver, or outlive this one.
//! - A device whose queues are smaller than `QUEUE_SIZE` is used with fewer slots.

use super::buffer::{RxBuffer, TxBuffer};
use super::driver::{Info, Link, NetDevice, Options, Statistics};
use super::placed::{Placed, handle, place};
use super::pool::Pool;
use super::translate::{MIN_BUFFER_LEN, MOST_FRAME, WAIT_LOOKS, check_queue_size, translate};
use super::virtio_drivers::transport::{InterruptStatus, Transport};
use super::virtio_drivers::{BufferDirection, Error, Hal, Result};
use crate::heap::room;
use crate::sys::*;
use crate::{Error as DriverError, ErrorDetail};
use alloc::boxed::Box;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::NonNull;

/// What the inner functions say: a number in a register, where the original's error is three words in memory.
type Outcome = core::result::Result<(), DriverError>;

/// Bytes of the header at most.
const HEADER: usize = 12;
/// Frames up to this length are copied; longer ones stay where they are. Copying costs less up to some 700 bytes, but buffers for
/// it cost memory.
const COPY_LIMIT: usize = 256;
/// Frames taken from the driver by one call, and buffers given back by one, at most.
const AHEAD: usize = 16;
/// Sent frames taken back from the driver by one call, at most: as many packets lie on the stack.
const REAPED: usize = 8;

/// Packets of which C writes or reads some fields only, so that the others need no value.
type Packets = [MaybeUninit<virtio_net_packet>; AHEAD];

/// What `receive` and `recycle_rx_buffer` hold back, as C writes and reads it. On the heap, because the drop-in is returned by
/// value on small stacks.
struct Batches {
    /// Frames that were taken from the driver and that `receive` will return next: `ahead[next..seen]`. They lie in the receive
    /// pool, which stays in place while slots of it are held.
    ahead: Packets,
    /// Slots of recycled buffers that C does not have back yet: `back[..recycled]`.
    back: Packets,
}

/// A virtio network card, with the interface of `virtio_drivers::device::net::VirtIONet`.
///
/// `QUEUE_SIZE` is a power of two from 1 to 32,768; anything else does not compile.
pub struct VirtIONet<H: Hal, T: Transport, const QUEUE_SIZE: usize> {
    net: ManuallyDrop<Placed<NetDevice<H, T, QUEUE_SIZE, QUEUE_SIZE>>>,
    transport: PhantomData<T>,
    pool: NonNull<Pool>,
    batches: Box<Batches>,
    /// Buffers that the device does not have: those lent and not recycled, of which dropped ones count until they are found, and
    /// those held back.
    away: u16,
    /// Frames in flight that lie in their own buffer.
    kept: u16,
    /// So many, and those that were sent go home before the next one.
    many: u16,
    slots: u16,
    rx_slots: u16,
    /// Bytes of a frame that a receive buffer holds.
    rx_bytes: u16,
    next: u8,
    seen: u8,
    recycled: u8,
    /// How many frames are taken ahead, and buffers held back, at most.
    batch: u8,
    header: u8,
}

// SAFETY: the pool is used through atomics, or, at the end, by the last user only. All else is the driver's own.
unsafe impl<H: Hal, T: Transport + Send, const QUEUE_SIZE: usize> Send for VirtIONet<H, T, QUEUE_SIZE> {}
// SAFETY: calls through a shared reference only read, and reach no register.
unsafe impl<H: Hal, T: Transport + Sync, const QUEUE_SIZE: usize> Sync for VirtIONet<H, T, QUEUE_SIZE> {}

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> VirtIONet<H, T, QUEUE_SIZE> {
    /// Sets the device up, with `QUEUE_SIZE` receive buffers of `buf_len` bytes each, header included. What is above 65,547 bytes
    /// no frame needs, and is not taken.
    ///
    /// # Errors
    /// `InvalidParam` where `buf_len` is below 1,526; `DmaError` where the `Hal` or the heap has no memory;
    /// `ConfigSpaceTooSmall`; `IoError` where the device does not keep to the rules.
    pub fn new(transport: T, buf_len: usize) -> Result<Self> {
        Self::with_options(transport, buf_len, Options::new())
    }

    /// The same, with options of the driver's own: a mask of features, a fallback for a card without an address. Those for the
    /// sizes of buffers and for interrupts are not used. Only a mask that names the MTU makes the driver agree on it, and refuse
    /// longer frames. Without a fallback, a card that has no usable address gets a local one, 02:00:00:00 and a number that is
    /// different for each such card of this kernel.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_options(transport: T, buf_len: usize, options: Options) -> Result<Self> {
        const { check_queue_size(QUEUE_SIZE) };
        if buf_len < MIN_BUFFER_LEN {
            return Err(Error::InvalidParam);
        }
        let frame = (buf_len - HEADER).min(MOST_FRAME) as u32;
        // Who drives the original by interrupts need not enable them first.
        let options = options.interrupts(VIRTIO_NET_IRQ_RX);
        let options =
            options.original_features().with_some_mac().rx_buffer_bytes(frame).tx_buffer_bytes(COPY_LIMIT as u32);
        // Memory first: where there is none, nothing is asked of the device. But the room to keep the receive pool in depends on
        // how many blocks the `Hal` gave it; without that the device is reset again.
        let batches = room::<Batches>().ok_or(Error::DmaError)?;
        // SAFETY: each part of it is `MaybeUninit`.
        let batches = unsafe { batches.assume_init() };
        let pool = Pool::new(QUEUE_SIZE, H::dma_dealloc).ok_or(Error::DmaError)?;
        let mut net = place(transport, options)?;
        // SAFETY: the pool is new.
        unsafe { pool.make_room(net.host().receive_blocks()) }.ok_or(Error::DmaError)?;
        let mut drop_in = Self {
            net: ManuallyDrop::new(net),
            transport: PhantomData,
            pool: NonNull::from(Box::leak(pool)),
            batches,
            kept: 0,
            many: 0,
            away: 0,
            slots: 0,
            rx_slots: 0,
            rx_bytes: frame as u16,
            next: 0,
            seen: 0,
            recycled: 0,
            batch: 1,
            header: 0,
        };
        drop_in.adopt_sizes();
        Ok(drop_in)
    }

    /// What was agreed with the device.
    #[must_use]
    pub fn info(&self) -> Info {
        self.net.info()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Statistics {
        self.net.stats()
    }

    /// What caused the last error that the device or the host is to blame for.
    #[must_use]
    pub fn last_error(&self) -> Option<ErrorDetail> {
        self.net.last_error()
    }

    /// The features that the driver and the device agreed on, a bit each.
    #[must_use]
    pub fn features(&self) -> u64 {
        self.net.features()
    }

    /// Bytes that a frame may carry after its Ethernet header: what the device says, or 1,500. Longer ones can be sent, as with
    /// the original, unless [`Self::with_options`] was given a mask of features with the MTU in it; the device may drop them.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.net.mtu()
    }

    /// Asks the device whether it still works.
    ///
    /// # Errors
    /// `IoError` where it needs [`Self::recover`], or is gone.
    pub fn check(&mut self) -> Result {
        self.net.check().map_err(translate)
    }

    /// Asks the device for the state of the link.
    ///
    /// # Errors
    /// `IoError` where the device does not answer.
    pub fn link(&mut self) -> Result<Link> {
        self.net.link().map_err(translate)
    }

    /// Resets the device and sets it up again: the way on after `IoError`. Frames in flight are lost and counted; buffers that
    /// were received stay the caller's.
    ///
    /// # Errors
    /// `IoError` where the device does not come up, `DmaError` where it comes up with larger queues and there is no memory for
    /// them. It may be tried again. A device that comes up with queues of another size is refused while buffers are lent or
    /// frames wait that were received before: receive and return all of them, then try again.
    pub fn recover(&mut self) -> Result {
        // What is given back here cannot stand in the way of another number of slots. A broken queue says so, which is why we are
        // here.
        let _ = self.harvest();
        let _ = self.flush_back();
        // SAFETY: the handle is that of a driver.
        let stopped = unsafe { virtio_net_stop(handle(&mut self.net)) };
        if stopped != VIRTIO_NET_ERROR_STATE {
            DriverError::check(stopped).map_err(translate)?;
        }
        // Nor can frames that the device had.
        self.reap().map_err(translate)?;
        self.net.recover().map_err(translate)?;
        self.adopt_sizes();
        self.make_room()
    }

    /// Acknowledges the interrupt and tells what it was about.
    pub fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::from_bits_truncate(self.net.ack_interrupt())
    }

    /// Asks for no interrupts.
    pub fn disable_interrupts(&mut self) {
        // Both directions exist; a device that needs a reset interrupts for nothing.
        let _ = self.net.disable_interrupts(VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX);
    }

    /// Asks for an interrupt when a frame has been received, which is so from the start until [`Self::disable_interrupts`].
    /// Receive until there is none, or use [`Self::can_recv`], afterwards: a frame that came before the call does not interrupt.
    pub fn enable_interrupts(&mut self) {
        let _ = self.net.enable_interrupts(VIRTIO_NET_IRQ_RX);
    }

    /// The card's address.
    pub fn mac_address(&self) -> [u8; 6] {
        self.net.mac_address()
    }

    /// Whether [`Self::send`] would post a frame without waiting. Room counts that the device has made and nobody has looked for.
    pub fn can_send(&self) -> bool {
        self.net.is_usable() && self.net.tx_in_flight() < usize::from(self.slots)
    }

    /// Frames that the device has not sent yet, as far as it tells. The driver's end waits for them, but for a million looks
    /// only: who must not lose one, where the network may be slow to take it, calls [`Self::poll`] until this is 0.
    #[must_use]
    pub fn tx_in_flight(&self) -> usize {
        self.net.tx_in_flight()
    }

    /// Whether [`Self::receive`] has a frame. What waits and is no frame does not count.
    ///
    /// In three states it is true and `receive` may still answer `NotReady`, because nothing would ever come otherwise: the
    /// device sleeps over buffers or frames, because a notification was left out through no fault of the driver's (without
    /// EVENT_IDX that looks the same as a device that sleeps over nothing, once after it had run dry); it has no buffer left,
    /// because all are full of what is no frame; or because all were lent, and some were dropped.
    pub fn can_recv(&self) -> bool {
        // SAFETY: the pool lives until the driver releases it.
        let returned = || unsafe { self.pool.as_ref() }.any_returned();
        let starved = self.away >= self.rx_slots;
        self.next < self.seen || self.net.is_due() || starved && returned()
    }

    /// Does what is due: takes back what was sent and what was dropped, and repeats a notification where one was wrongly left
    /// out. [`Self::receive`] does it too where it finds nothing. For callers that do neither that nor [`Self::send`] before
    /// [`Self::can_send`] changes.
    ///
    /// # Errors
    /// `IoError` where the device needs a reset.
    pub fn poll(&mut self) -> Result {
        self.harvest().and_then(|()| self.flush_back()).and_then(|()| self.reap()).map_err(translate)
    }

    /// The next received frame. Give it back with [`Self::recycle_rx_buffer`], or drop it.
    ///
    /// # Errors
    /// `NotReady` where there is none; `IoError` where the device needs a reset.
    #[inline]
    pub fn receive(&mut self) -> Result<RxBuffer> {
        if self.next == self.seen {
            self.look_ahead().map_err(translate)?;
        }
        let Some(packet) = self.batches.ahead.get(usize::from(self.next)) else { return Err(Error::NotReady) };
        let packet = packet.as_ptr();
        // SAFETY: C wrote these fields of the packets up to `seen`, and the frame of a slot lies somewhere.
        let (frame, length, slot) =
            unsafe { (NonNull::new_unchecked((*packet).data), (*packet).length as u16, (*packet).slot) };
        self.next += 1;
        self.away += 1;
        if self.is_scarce() {
            // Not this frame's trouble; the next call says what is wrong.
            let _ = self.flush_back();
        }
        // SAFETY: the slot is held since `look_ahead`, where C told its frame and its length, behind a header of these bytes, in
        // a buffer of the size that the options asked for.
        Ok(unsafe { RxBuffer::new(self.pool, frame, (length, self.rx_bytes), slot, self.header) })
    }

    /// Takes a buffer back, in any order. One of another driver goes home to that one. Of a device that broke a rule
    /// [`Self::receive`] and [`Self::send`] tell; the buffer is taken back all the same.
    ///
    /// # Errors
    /// None; the type is the original's.
    #[inline]
    pub fn recycle_rx_buffer(&mut self, rx_buf: RxBuffer) -> Result {
        let Ok(slot) = rx_buf.into_slot(self.pool) else { return Ok(()) };
        self.put_back(slot).and_then(|()| self.harvest()).map_err(translate)
    }

    /// A buffer for a frame of `buf_len` bytes, all zero.
    pub fn new_tx_buffer(&self, buf_len: usize) -> TxBuffer {
        TxBuffer::zeroed(buf_len)
    }

    /// Sends a frame: posts it and returns.
    ///
    /// # Errors
    /// `InvalidParam` for a frame below 14 bytes or above what the device takes; `QueueFull` where every slot is taken and the
    /// device sends none for long; `IoError` where the device needs a reset.
    #[inline]
    pub fn send(&mut self, tx_buf: TxBuffer) -> Result {
        self.post_any(tx_buf).map_err(translate)
    }
}

/// What the driver's `Drop` and the public calls are made of.
impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> VirtIONet<H, T, QUEUE_SIZE> {
    /// The receive pool may be a larger one after a recovery. Nothing of it is lent yet, so without room to keep it the device is
    /// stopped again.
    fn make_room(&mut self) -> Result {
        let blocks = self.net.host().receive_blocks();
        // SAFETY: the pool lives until the driver releases it.
        unsafe { self.pool.as_ref().make_room(blocks) }.ok_or(Error::DmaError).inspect_err(|_| {
            // SAFETY: the handle is that of a driver.
            let _ = unsafe { virtio_net_stop(handle(&mut self.net)) };
        })
    }

    /// The numbers of slots may differ after a recovery.
    fn adopt_sizes(&mut self) {
        let info = self.net.info();
        self.header = info.header_length as u8;
        self.slots = u16::try_from(info.tx_slots).unwrap_or(u16::MAX);
        self.rx_slots = u16::try_from(info.rx_slots).unwrap_or(u16::MAX);
        self.many = self.slots / 2;
        self.batch = (info.rx_slots / 4).clamp(1, AHEAD) as u8;
    }

    /// What `send` does.
    #[inline]
    fn post_any(&mut self, tx_buf: TxBuffer) -> Outcome {
        self.harvest()?;
        let (frame, length) = (tx_buf.frame(), tx_buf.packet_len());
        if length > COPY_LIMIT {
            return self.post(tx_buf);
        }
        // SAFETY: these are the frame's bytes; here and below.
        let mut code = unsafe { self.post_copy(frame, length) };
        if code == VIRTIO_NET_ERROR_QUEUE_FULL {
            code = match self.wait_for_slot() {
                // SAFETY: as above.
                Ok(()) => unsafe { self.post_copy(frame, length) },
                Err(error) => error.code(),
            };
        }
        // SAFETY: this is its length.
        unsafe { tx_buf.free(length) };
        DriverError::check(code).map(drop)
    }

    /// Copies a frame of at most [`COPY_LIMIT`] bytes.
    ///
    /// # Safety
    /// So many bytes can be read at `frame`.
    #[inline]
    unsafe fn post_copy(&mut self, frame: *const u8, length: usize) -> i32 {
        // SAFETY: the handle is that of a driver; the rest is the caller's promise.
        unsafe { virtio_net_send(handle(&mut self.net), 0, 0, frame.cast(), length as u32) }
    }

    /// Takes the next frames from C. With none there it gives every buffer back, and looks after the transmit queue.
    #[inline(never)]
    fn look_ahead(&mut self) -> Outcome {
        self.harvest()?;
        let packets = self.batches.ahead.as_mut_ptr().cast();
        // SAFETY: there is room for so many packets.
        let count = unsafe { virtio_net_rx_peek(handle(&mut self.net), 0, 0, packets, u32::from(self.batch)) };
        let count = DriverError::check(count)?;
        self.next = 0;
        self.seen = count as u8;
        if count != 0 {
            return Ok(());
        }
        self.flush_back()?;
        if self.kept != 0 || self.net.tx_free() < usize::from(self.slots) {
            self.reap()?;
        }
        Err(DriverError::NOT_READY)
    }

    /// Gives the slots of dropped buffers back.
    #[inline]
    fn harvest(&mut self) -> Outcome {
        // SAFETY: the pool lives until the driver releases it.
        if unsafe { self.pool.as_ref() }.any_returned() { self.harvest_some() } else { Ok(()) }
    }

    #[cold]
    #[inline(never)]
    fn harvest_some(&mut self) -> Outcome {
        let pool = self.pool;
        let mut result = Ok(());
        // SAFETY: the pool lives until the driver releases it.
        unsafe { pool.as_ref() }.harvest(|slot| {
            let outcome = self.put_back(slot);
            if outcome.is_err() {
                result = outcome;
            }
        });
        result
    }

    /// Keeps the slot until there is a batch of them; where the caller has many, the device needs each at once.
    #[inline]
    fn put_back(&mut self, slot: u16) -> Outcome {
        if let Some(place) = self.batches.back.get_mut(usize::from(self.recycled)) {
            // SAFETY: the place is the packet's.
            unsafe { (*place.as_mut_ptr()).slot = slot };
            self.recycled += 1;
        }
        if self.is_scarce() || self.recycled >= self.batch { self.flush_back() } else { Ok(()) }
    }

    /// Buffers lent and not recycled.
    fn out(&self) -> isize {
        self.away as isize - self.recycled as isize
    }

    /// Whether the device has too few buffers for any to be held back.
    #[inline]
    fn is_scarce(&self) -> bool {
        self.away > self.rx_slots / 2 && self.recycled != 0
    }

    #[inline(never)]
    fn flush_back(&mut self) -> Outcome {
        let count = core::mem::take(&mut self.recycled);
        self.away -= u16::from(count);
        let packets = self.batches.back.as_ptr().cast();
        // SAFETY: there are so many packets, whose slots were written: nothing else of them is read.
        let code = unsafe { virtio_net_rx_release(handle(&mut self.net), 0, 0, packets, count.into()) };
        DriverError::check(code).map(drop)
    }

    /// Takes completed frames back until a slot is free, with a limit.
    #[cold]
    #[inline(never)]
    fn wait_for_slot(&mut self) -> Outcome {
        for _ in 0..WAIT_LOOKS {
            self.reap()?;
            if self.net.tx_free() != 0 {
                return Ok(());
            }
            core::hint::spin_loop();
        }
        Err(DriverError::QUEUE_FULL)
    }

    /// Posts a frame in its own buffer. Where many are in flight already, those that were sent go home first.
    #[inline]
    fn post(&mut self, mut tx_buf: TxBuffer) -> Outcome {
        if self.kept >= self.many {
            self.reap_many()?;
        }
        // SAFETY: the header of every device is shorter.
        let bytes = unsafe { tx_buf.with_header(usize::from(self.header)) };
        // SAFETY: the buffer stays where it is until `reap` has unshared it: it becomes a cookie, or the post fails.
        let address = unsafe { H::share(bytes, BufferDirection::DriverToDevice) };
        tx_buf.set_shared_at(address);
        // SAFETY: the buffer is shared, and is kept where the driver takes it.
        let code = unsafe { self.post_kept(&tx_buf) };
        if code < 0 {
            // SAFETY: as above; the driver did not take it.
            return unsafe { self.post_after(code, tx_buf) };
        }
        self.keep(tx_buf);
        Ok(())
    }

    /// A buffer that the driver has taken lives until `reap` has its cookie.
    #[inline]
    fn keep(&mut self, tx_buf: TxBuffer) {
        core::mem::forget(tx_buf);
        self.kept += 1;
    }

    /// # Safety
    /// The buffer is shared. Where the result is not negative it is neither dropped nor touched until its cookie comes back.
    #[inline]
    unsafe fn post_kept(&mut self, tx_buf: &TxBuffer) -> i32 {
        let (net, flags) = (handle(&mut self.net), VIRTIO_NET_PACKET_HAS_HEADER);
        let length = u32::try_from(tx_buf.packet_len()).unwrap_or(u32::MAX);
        let device_address = tx_buf.shared_at() + u64::from(self.header);
        // SAFETY: the frame and the header's bytes in front of it, which are zero, are the driver's by the caller's promise.
        unsafe { virtio_net_tx_post_one(net, 0, flags, tx_buf.frame(), length, device_address, tx_buf.cookie()) }
    }

    /// Posts again after an error, where it was that of a full queue, and after another one takes the buffer home.
    ///
    /// # Safety
    /// The buffer is shared, and the driver did not take it.
    #[cold]
    #[inline(never)]
    unsafe fn post_after(&mut self, mut code: i32, tx_buf: TxBuffer) -> Outcome {
        if code == VIRTIO_NET_ERROR_QUEUE_FULL {
            code = match self.wait_for_slot() {
                // SAFETY: by the caller's promise; it is kept or taken home below.
                Ok(()) => unsafe { self.post_kept(&tx_buf) },
                Err(error) => error.code(),
            };
        }
        match DriverError::check(code) {
            Ok(_) => self.keep(tx_buf),
            Err(error) => {
                // SAFETY: the driver did not take it.
                unsafe { self.take_home(tx_buf) };
                return Err(error);
            }
        }
        Ok(())
    }

    /// # Safety
    /// The buffer was shared, and the device uses it no more.
    unsafe fn take_home(&mut self, buffer: TxBuffer) {
        // SAFETY: as in `post`.
        let bytes = unsafe { buffer.with_header(usize::from(self.header)) };
        // SAFETY: these are the bytes that were shared, and where.
        unsafe { H::unshare(buffer.shared_at(), bytes, BufferDirection::DriverToDevice) };
    }

    /// [`Self::reap`] where many frames are in flight; not with each frame while the device sends none.
    #[cold]
    #[inline(never)]
    fn reap_many(&mut self) -> Outcome {
        self.reap()?;
        self.many = (self.slots / 2).max(self.kept + self.slots / 8 + 1);
        Ok(())
    }

    /// Takes sent frames back, and repeats a notification that got lost.
    #[inline(never)]
    fn reap(&mut self) -> Outcome {
        let mut packets = [const { MaybeUninit::<virtio_net_packet>::uninit() }; REAPED];
        loop {
            let into = packets.as_mut_ptr().cast();
            // SAFETY: there is room for so many packets.
            let count = unsafe { virtio_net_tx_reap(handle(&mut self.net), 0, 0, into, REAPED as u32) };
            let count = DriverError::check(count)? as usize;
            self.kept -= count as u16;
            for packet in packets.iter().take(count) {
                // SAFETY: the driver has written the cookie, and returned it.
                if let Some(buffer) = unsafe { TxBuffer::from_cookie((*packet.as_ptr()).cookie) } {
                    // SAFETY: it was posted, and has come back.
                    unsafe { self.take_home(buffer) };
                }
            }
            if count < REAPED {
                return Ok(());
            }
        }
    }
}

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> Drop for VirtIONet<H, T, QUEUE_SIZE> {
    fn drop(&mut self) {
        for _ in 0..WAIT_LOOKS {
            if self.net.tx_in_flight() == 0 || self.reap().is_err() {
                break;
            }
            core::hint::spin_loop();
        }
        // After a confirmed reset every buffer comes back; without one the device may still read them, and they are forgotten.
        // SAFETY: the handle is that of a driver.
        let code = unsafe { virtio_net_stop(handle(&mut self.net)) };
        if code < 0 && code != VIRTIO_NET_ERROR_STATE {
            self.net.give_up();
        }
        // Returns what is left, where the device cannot read it any more.
        let _ = self.reap();
        // SAFETY: the pool lives until it is released below.
        if !unsafe { self.pool.as_ref() }.is_home(self.out()) {
            self.net.host().lock.keep(self.pool.as_ptr());
        }
        // SAFETY: nothing uses the driver afterwards.
        unsafe { ManuallyDrop::drop(&mut self.net) };
        // SAFETY: the driver's only release, with the buffers that it lent and that did not come back.
        unsafe { Pool::release_driver(self.pool, self.out()) };
    }
}

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> core::fmt::Debug for VirtIONet<H, T, QUEUE_SIZE> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VirtIONet").field("net", &**self.net).finish_non_exhaustive()
    }
}
