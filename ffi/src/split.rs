//! The two directions and the interrupt of a driver as handles of their own, which different processors may use at once.
//!
//! The transmit and the receive group of `include/virtio_net.h` share nothing that changes, so two handles need no lock between
//! them. What they do share is the host's transport, which is locked for each call (see `lock.rs`).

use super::driver::{Info, Link, NetDevice, Statistics, info_of, link_of, stats_of};
use super::frames::{Packets, RxBurst, RxFrame, TxBurst, TxFrame, length_of};
use super::virtio_drivers::Hal;
use crate::error::Error;
use crate::sys::*;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

/// Frames that one call into C copies, at most.
const BURST: usize = 32;

/// The transmit side of a driver, from [`NetDevice::split`].
///
/// It may be used while another processor uses the [`Receiver`] and the [`Interrupts`]; it is `Send` where the transport is. No
/// call waits, but for another processor's access of a register.
pub struct Transmitter<'a, T> {
    net: NonNull<virtio_net>,
    device: PhantomData<&'a mut T>,
}

/// The receive side of a driver, from [`NetDevice::split`].
///
/// It may be used while another processor uses the [`Transmitter`] and the [`Interrupts`]; it is `Send` where the transport is.
/// No call waits, but for another processor's access of a register.
pub struct Receiver<'a, T> {
    net: NonNull<virtio_net>,
    device: PhantomData<&'a mut T>,
}

/// The interrupt of a driver, from [`NetDevice::split`]: to acknowledge it, and to look at what it may be about. It is `Send`
/// where the transport is.
///
/// ```standalone_crate
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/doc.rs"));
/// # fn main() -> Result<(), virtio_net_c::Error> {
/// # let (_plug, card, transport) = plug();
/// # use virtio_net_c::{NetDevice, Options, sys::*};
/// # let mut net = NetDevice::<MyHal, _, 256, 256>::new(transport, Options::new())?;
/// let (_tx, mut rx, mut interrupts) = net.split();
/// rx.enable_interrupts()?;
/// # assert!(card.deliver(&[1; 60]));
/// // In the handler:
/// match interrupts.try_acknowledge() {
///     None => { /* mask the line, and leave the rest to a thread */ }
///     Some(0) => { /* not this card's */ }
///     Some(events) => {
///         if events & VIRTIO_NET_EVENT_CONFIG != 0 { /* a thread asks for `link` */ }
///         if events & VIRTIO_NET_EVENT_QUEUE != 0 { /* wake who receives */ }
///     }
/// }
/// # assert_eq!(interrupts.stats().interrupts, 1);
/// # Ok(())
/// # }
/// ```
pub struct Interrupts<'a, H: Hal, T, const TX: usize, const RX: usize> {
    device: NonNull<NetDevice<H, T, TX, RX>>,
    lifetime: PhantomData<&'a mut NetDevice<H, T, TX, RX>>,
}

// SAFETY: the handle calls the transport under the host's lock, from whichever thread it is on, which `T: Send` allows. Its own
// group of calls is its alone, and the driver stays in place while it is borrowed.
unsafe impl<T: Send> Send for Transmitter<'_, T> {}
// SAFETY: as for the transmitter.
unsafe impl<T: Send> Send for Receiver<'_, T> {}
// SAFETY: as for the transmitter.
unsafe impl<H: Hal, T: Send, const TX: usize, const RX: usize> Send for Interrupts<'_, H, T, TX, RX> {}
// SAFETY: through a shared reference the driver's memory is only read, while nobody has the mutable one that every call that
// writes it needs; the transport is not reached.
unsafe impl<T> Sync for Transmitter<'_, T> {}
// SAFETY: as for the transmitter.
unsafe impl<T> Sync for Receiver<'_, T> {}
// SAFETY: as for the transmitter.
unsafe impl<H: Hal, T, const TX: usize, const RX: usize> Sync for Interrupts<'_, H, T, TX, RX> {}

impl<'a, T> Transmitter<'a, T> {
    /// # Safety
    /// `net` is a driver whose context is set to a `Host<T>`. For `'a` both stay in place, and there is no other handle of this
    /// kind, nor a call that needs the whole driver.
    pub(crate) unsafe fn new(net: NonNull<virtio_net>) -> Self {
        Self { net, device: PhantomData }
    }

    /// Copies a frame of 14 bytes or more to a slot and posts it.
    ///
    /// # Errors
    /// `FRAME_EMPTY` below 14 bytes; `FRAME_TOO_LONG` above `Info::tx_buffer_bytes`; `QUEUE_FULL`; `NEEDS_RESET`.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), Error> {
        let length = length_of(frame.len());
        // SAFETY: the handle is that of a driver, and the frame has as many bytes.
        Error::check(unsafe { virtio_net_send(self.net.as_ptr(), 0, 0, frame.as_ptr().cast(), length) }).map(drop)
    }

    /// Copies frames to slots and posts them in order, with one notification at most. Returns how many: fewer than all where the
    /// slots do not suffice, or the next one cannot be sent.
    ///
    /// # Errors
    /// None was posted, for the reason that [`Self::send`] would give for the first.
    pub fn send_burst<F: AsRef<[u8]>>(&mut self, frames: &[F]) -> Result<usize, Error> {
        let mut packets = [const { MaybeUninit::<virtio_net_packet>::uninit() }; BURST];
        let mut posted = 0;
        for chunk in frames.chunks(BURST) {
            for (packet, frame) in packets.iter_mut().zip(chunk) {
                let (packet, frame) = (packet.as_mut_ptr(), frame.as_ref());
                // SAFETY: these are places in the packet.
                unsafe {
                    (&raw mut (*packet).data).write(frame.as_ptr().cast_mut());
                    (&raw mut (*packet).length).write(length_of(frame.len()));
                }
            }
            let last = posted + chunk.len() == frames.len();
            let flags = if last { 0 } else { VIRTIO_NET_NO_KICK };
            // SAFETY: there are so many packets, of which data and length are read, and the frames are as long as told.
            let code = unsafe {
                let first = packets.as_ptr().cast();
                virtio_net_send_burst(self.net.as_ptr(), 0, flags, first, chunk.len() as u32)
            };
            let taken = Error::check(code);
            posted += taken.unwrap_or(0) as usize;
            if taken != Ok(chunk.len() as u32) {
                // Earlier lots have not been told of yet.
                self.flush();
                return if posted == 0 { taken.map(|_| 0) } else { Ok(posted) };
            }
        }
        Ok(posted)
    }

    /// Tells the device what it was not told yet.
    fn flush(&mut self) {
        // SAFETY: the handle is that of a driver. A queue that broke meanwhile says so in the next call.
        let _ = unsafe { virtio_net_tx_flush(self.net.as_ptr(), 0, 0) };
    }

    /// Reserves a slot, to write a frame in place. Dropping it without [`TxFrame::send`] gives the slot back.
    ///
    /// # Errors
    /// `QUEUE_FULL`, `NEEDS_RESET`.
    pub fn reserve(&mut self) -> Result<TxFrame<'_>, Error> {
        self.reborrow().into_frame()
    }

    /// Reserves up to `count` slots and no more than `room` is for, to write frames in place and send them together.
    ///
    /// # Errors
    /// `QUEUE_FULL` where not even one is free; `NEEDS_RESET`.
    pub fn reserve_burst<'b, const N: usize>(
        &'b mut self,
        room: &'b mut Packets<N>,
        count: usize,
    ) -> Result<TxBurst<'b>, Error> {
        self.reborrow().into_burst(room, count)
    }

    /// Takes completed frames back, and repeats a notification that got lost. Call it now and then while frames are in flight and
    /// nothing is sent.
    ///
    /// # Errors
    /// `NEEDS_RESET`.
    pub fn poll(&mut self) -> Result<(), Error> {
        // SAFETY: the handle is that of a driver; with a count of 0 no packet is written.
        Error::check(unsafe { virtio_net_tx_reap(self.net.as_ptr(), 0, 0, ptr::null_mut(), 0) }).map(drop)
    }

    /// How many frames could be sent now, completed ones counted that nobody has taken back yet. 0 where the device needs a
    /// reset.
    #[must_use]
    pub fn free(&self) -> usize {
        // SAFETY: the handle is that of a driver.
        Error::check(unsafe { virtio_net_tx_free(self.net.as_ptr(), 0) }).unwrap_or(0) as usize
    }

    /// Frames that the device has not sent yet, as far as it tells.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        // SAFETY: the handle is that of a driver.
        Error::check(unsafe { virtio_net_tx_in_flight(self.net.as_ptr(), 0) }).unwrap_or(0) as usize
    }

    /// Asks for an interrupt when a frame has been sent. True: some have been already, which may never interrupt. [`Self::poll`]
    /// asks for the next one.
    ///
    /// # Errors
    /// `NEEDS_RESET`.
    pub fn enable_interrupts(&mut self) -> Result<bool, Error> {
        // SAFETY: the handle is that of a driver, and the direction its own.
        let waiting = unsafe { virtio_net_irq_enable(self.net.as_ptr(), 0, VIRTIO_NET_IRQ_TX, 0) };
        Error::check(waiting).map(|waiting| waiting != 0)
    }

    /// Asks for no interrupts when frames have been sent. A stray one is possible.
    ///
    /// # Errors
    /// `NEEDS_RESET`.
    pub fn disable_interrupts(&mut self) -> Result<(), Error> {
        // SAFETY: the handle is that of a driver, and the direction its own.
        let code = unsafe { virtio_net_irq_disable(self.net.as_ptr(), 0, VIRTIO_NET_IRQ_TX, 0) };
        Error::check(code).map(drop)
    }

    /// The counters of the whole driver. Those that another processor is changing may be old.
    #[must_use]
    pub fn stats(&self) -> Statistics {
        // SAFETY: the handle is that of a driver.
        unsafe { stats_of(self.net) }
    }

    /// What was agreed with the device.
    #[must_use]
    pub fn info(&self) -> Info {
        // SAFETY: the handle is that of a driver.
        unsafe { info_of(self.net) }
    }

    /// The same handle for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Transmitter<'_, T> {
        Transmitter { net: self.net, device: PhantomData }
    }

    /// Uses the handle up for one frame.
    pub(crate) fn into_frame(self) -> Result<TxFrame<'a>, Error> {
        // SAFETY: the handle is that of a driver, and gone for as long as the frame lives.
        unsafe { TxFrame::reserve(self.net) }
    }

    /// Uses the handle up for one burst.
    pub(crate) fn into_burst<const N: usize>(
        self,
        room: &'a mut Packets<N>,
        count: usize,
    ) -> Result<TxBurst<'a>, Error> {
        // SAFETY: the handle is that of a driver, and gone for as long as the burst lives.
        unsafe { TxBurst::reserve(self.net, room, count) }
    }
}

impl<'a, T> Receiver<'a, T> {
    /// # Safety
    /// As for [`Transmitter::new`].
    pub(crate) unsafe fn new(net: NonNull<virtio_net>) -> Self {
        Self { net, device: PhantomData }
    }

    /// Copies the next frame to `buffer` and returns its length, or `None` where there is none.
    ///
    /// # Errors
    /// `BUFFER_TOO_SMALL`, and the frame stays: `Info::rx_buffer_bytes` always suffice. `NEEDS_RESET`.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        let capacity = length_of(buffer.len());
        // SAFETY: the handle is that of a driver, and the buffer has room for as many bytes.
        let length = unsafe { virtio_net_receive(self.net.as_ptr(), 0, 0, buffer.as_mut_ptr().cast(), capacity) };
        Ok(Some(Error::check(length)? as usize).filter(|length| *length != 0))
    }

    /// Copies the next frames to `buffers`, writes their lengths to `lengths`, and returns how many: as many as there are, or as
    /// both have places for.
    ///
    /// # Errors
    /// None was copied: `BUFFER_TOO_SMALL` for the first, and the frame stays; `NEEDS_RESET`.
    pub fn receive_burst<B: AsMut<[u8]>>(
        &mut self,
        buffers: &mut [B],
        lengths: &mut [usize],
    ) -> Result<usize, Error> {
        let mut packets = [const { MaybeUninit::<virtio_net_packet>::uninit() }; BURST];
        let mut received = 0;
        for (buffers, lengths) in buffers.chunks_mut(BURST).zip(lengths.chunks_mut(BURST)) {
            let wanted = buffers.len().min(lengths.len());
            for (packet, buffer) in packets.iter_mut().zip(buffers) {
                let (packet, buffer) = (packet.as_mut_ptr(), buffer.as_mut());
                // SAFETY: these are places in the packet.
                unsafe {
                    (&raw mut (*packet).data).write(buffer.as_mut_ptr());
                    (&raw mut (*packet).length).write(length_of(buffer.len()));
                }
            }
            // SAFETY: there are so many packets at least, of which data and length are read, and the buffers are as long as told.
            let code = unsafe {
                let first = packets.as_mut_ptr().cast();
                virtio_net_receive_burst(self.net.as_ptr(), 0, 0, first, wanted as u32)
            };
            let taken = Error::check(code);
            for (packet, length) in packets.iter().zip(lengths).take(taken.unwrap_or(0) as usize) {
                // SAFETY: the length was written above, and for these packets by C.
                *length = unsafe { (*packet.as_ptr()).length } as usize;
            }
            received += taken.unwrap_or(0) as usize;
            if taken != Ok(BURST as u32) {
                return if received == 0 { taken.map(|_| 0) } else { Ok(received) };
            }
        }
        Ok(received)
    }

    /// Lends the next frame in place, or `None` where there is none. Dropping it posts its buffer again.
    ///
    /// # Errors
    /// `NEEDS_RESET`.
    pub fn peek(&mut self) -> Result<Option<RxFrame<'_>>, Error> {
        self.reborrow().into_frame()
    }

    /// Lends the next frames in place, as many as there are or as `room` is for. Dropping the burst posts their buffers again.
    ///
    /// # Errors
    /// `NEEDS_RESET`.
    pub fn peek_burst<'b, const N: usize>(&'b mut self, room: &'b mut Packets<N>) -> Result<RxBurst<'b>, Error> {
        self.reborrow().into_burst(room)
    }

    /// Received frames that wait, as far as the device tells. 0 where it needs a reset, which the next call that receives says.
    #[must_use]
    pub fn ready(&self) -> usize {
        // SAFETY: the handle is that of a driver.
        Error::check(unsafe { virtio_net_rx_ready(self.net.as_ptr(), 0) }).unwrap_or(0) as usize
    }

    /// Asks for an interrupt when a frame has been received. True: some wait already, which may never interrupt. Receiving until
    /// there is none asks for the next one.
    ///
    /// # Errors
    /// `NEEDS_RESET`.
    pub fn enable_interrupts(&mut self) -> Result<bool, Error> {
        // SAFETY: the handle is that of a driver, and the direction its own.
        let waiting = unsafe { virtio_net_irq_enable(self.net.as_ptr(), 0, VIRTIO_NET_IRQ_RX, 0) };
        Error::check(waiting).map(|waiting| waiting != 0)
    }

    /// Asks for no interrupts when frames have been received. A stray one is possible.
    ///
    /// # Errors
    /// `NEEDS_RESET`.
    pub fn disable_interrupts(&mut self) -> Result<(), Error> {
        // SAFETY: the handle is that of a driver, and the direction its own.
        let code = unsafe { virtio_net_irq_disable(self.net.as_ptr(), 0, VIRTIO_NET_IRQ_RX, 0) };
        Error::check(code).map(drop)
    }

    /// The counters of the whole driver. Those that another processor is changing may be old.
    #[must_use]
    pub fn stats(&self) -> Statistics {
        // SAFETY: the handle is that of a driver.
        unsafe { stats_of(self.net) }
    }

    /// What was agreed with the device.
    #[must_use]
    pub fn info(&self) -> Info {
        // SAFETY: the handle is that of a driver.
        unsafe { info_of(self.net) }
    }

    /// The same handle for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Receiver<'_, T> {
        Receiver { net: self.net, device: PhantomData }
    }

    /// Uses the handle up for one frame.
    pub(crate) fn into_frame(self) -> Result<Option<RxFrame<'a>>, Error> {
        // SAFETY: the handle is that of a driver, and gone for as long as the frame lives.
        unsafe { RxFrame::peek(self.net) }
    }

    /// Uses the handle up for one burst.
    pub(crate) fn into_burst<const N: usize>(self, room: &'a mut Packets<N>) -> Result<RxBurst<'a>, Error> {
        // SAFETY: the handle is that of a driver, and gone for as long as the burst lives.
        unsafe { RxBurst::peek(self.net, room) }
    }
}

impl<'a, H: Hal, T, const TX: usize, const RX: usize> Interrupts<'a, H, T, TX, RX> {
    pub(crate) fn new(device: &'a mut NetDevice<H, T, TX, RX>) -> Self {
        Self { device: NonNull::from(device), lifetime: PhantomData }
    }

    pub(crate) fn net(&self) -> NonNull<virtio_net> {
        // SAFETY: the driver is there and stays in place for as long as it is borrowed.
        unsafe { NetDevice::net_of(self.device) }
    }

    /// Acknowledges the interrupt, before it is handled: a frame that comes in between interrupts again. Returns
    /// `VIRTIO_NET_EVENT_*` bits; 0: it was not this device's.
    ///
    /// It waits where another processor is in a call of the transport, which takes as long as the access of a register. Not for a
    /// handler that may have interrupted a [`Transmitter`] or a [`Receiver`] on its own processor: it would wait for ever for
    /// what it has interrupted. Such a handler uses [`Self::try_acknowledge`]. Over the driver's own transport ([`crate::Mmio`])
    /// there is nothing to wait for.
    pub fn acknowledge(&mut self) -> u32 {
        // SAFETY: as for `net`; only the lock is referred to.
        let lock = unsafe { NetDevice::lock_of(self.device) };
        let _held = lock.lock();
        // SAFETY: the handle is that of a driver, and the lock is held.
        unsafe { acknowledge(self.net()) }
    }

    /// The same without a wait: `None` where the transport is in a call now, of another processor or of the one that was
    /// interrupted.
    ///
    /// In the latter case the interrupt stays up until the interrupted call has gone on. So a handler that gets `None` masks the
    /// line at its interrupt controller and has [`Self::acknowledge`] called, and the line unmasked, outside of the handler.
    /// Kernels that mask interrupts on this processor while they use the other two handles never see it from their own.
    pub fn try_acknowledge(&mut self) -> Option<u32> {
        // SAFETY: as for `net`; only the lock is referred to.
        let lock = unsafe { NetDevice::lock_of(self.device) };
        let _held = lock.try_lock()?;
        // SAFETY: the handle is that of a driver, and the lock is held.
        Some(unsafe { acknowledge(self.net()) })
    }

    /// Asks the device for the state of the link, for instance after `VIRTIO_NET_EVENT_CONFIG`. It waits as [`Self::acknowledge`]
    /// does.
    ///
    /// # Errors
    /// `CONFIG_SPACE`, `CONFIG_UNSTABLE`.
    pub fn link(&mut self) -> Result<Link, Error> {
        // SAFETY: the handle is that of a driver.
        unsafe { link_of(self.net()) }
    }

    /// The counters of the whole driver. Those that another processor is changing may be old.
    #[must_use]
    pub fn stats(&self) -> Statistics {
        // SAFETY: the handle is that of a driver.
        unsafe { stats_of(self.net()) }
    }

    /// Takes the three handles back and returns the driver, for those who have borrowed it for ever and need
    /// [`NetDevice::recover`]. Elsewhere the end of the borrow does the same.
    ///
    /// # Errors
    /// The handles, where they are not all of one driver.
    #[expect(clippy::type_complexity, reason = "the three handles")]
    pub fn unite(
        self,
        transmitter: Transmitter<'a, T>,
        receiver: Receiver<'a, T>,
    ) -> Result<&'a mut NetDevice<H, T, TX, RX>, (Self, Transmitter<'a, T>, Receiver<'a, T>)> {
        if transmitter.net != self.net() || receiver.net != self.net() {
            return Err((self, transmitter, receiver));
        }
        // SAFETY: the three handles of the driver are gone, and with them every frame, which borrowed one. It stays borrowed for
        // `'a`.
        Ok(unsafe { &mut *self.device.as_ptr() })
    }
}

/// # Safety
/// `net` is a driver whose host's lock is held, and nobody else is in a call of the interrupt group.
unsafe fn acknowledge(net: NonNull<virtio_net>) -> u32 {
    // SAFETY: by the caller's promise.
    Error::check(unsafe { virtio_net_irq_ack(net.as_ptr(), 0) }).unwrap_or(0)
}

/// Both directions of a driver for one user, while somebody else has the interrupt: what smoltcp's `phy::Device` is for.
pub struct Duplex<'a, T> {
    /// The transmit side.
    pub transmitter: Transmitter<'a, T>,
    /// The receive side.
    pub receiver: Receiver<'a, T>,
}

impl<T> fmt::Debug for Duplex<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transmitter, receiver } = self;
        f.debug_struct("Duplex").field("transmitter", transmitter).field("receiver", receiver).finish()
    }
}

impl<T> fmt::Debug for Transmitter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (free, in_flight) = (self.free(), self.in_flight());
        f.debug_struct("Transmitter").field("free", &free).field("in_flight", &in_flight).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("ready", &self.ready()).finish_non_exhaustive()
    }
}

impl<H: Hal, T, const TX: usize, const RX: usize> fmt::Debug for Interrupts<'_, H, T, TX, RX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupts").field("count", &self.stats().interrupts).finish_non_exhaustive()
    }
}
