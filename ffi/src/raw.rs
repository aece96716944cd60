//! The drop-in for `virtio_drivers::device::net::VirtIONetRaw`: the caller's buffers. In a build with a heap the driver's state
//! is one block of it, in one without it is part of the value.
//!
//! A token is a slot. The first tokens are 0, 1, 2 … in order, and every token is below `QUEUE_SIZE`. Where it differs from the
//! original:
//!
//! - Completions may be taken in any order: `transmit_complete` takes any token that the device has returned, not the next one
//!   only.
//! - `send` copies the frame to a buffer of its own and returns once it is posted, whatever else is in flight. It refuses a frame
//!   below 14 or above 65,535 bytes. It takes four pages of DMA memory for each eight frames on their way, 32 frames at most;
//!   then it waits for the device. A frame above 2,032 bytes has memory of its own until it is sent, one at a time.
//! - `receive_wait` refuses to begin while other receive buffers are posted: they would be filled first.
//! - A device that breaks a rule is reset by the call that notices. Whatever was posted then comes back, each token with
//!   `IoError`, and the next call that posts brings the device up again.
//! - Dropping the driver takes every buffer back from the device, and from the `Hal`.

use super::driver::{Info, NetDevice, Options, Statistics};
use super::placed::{Placed, handle, owner_of};
use super::translate::{MIN_BUFFER_LEN, MOST_FRAME, WAIT_LOOKS, check_queue_size, translate};
use super::virtio_drivers::transport::{InterruptStatus, Transport};
use super::virtio_drivers::{BufferDirection, Error, Hal, PAGE_SIZE, PhysAddr, Result};
use crate::sys::*;
use crate::{Error as DriverError, ErrorDetail};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// The queue of frames to be sent (virtio 1.2, 5.1.2).
const QUEUE_TRANSMIT: u16 = 1;

/// A virtio network card over the caller's buffers, with the interface of `virtio_drivers::device::net::VirtIONetRaw`.
///
/// `QUEUE_SIZE` is a power of two from 1 to 32,768; anything else does not compile.
///
/// Drop the driver before the buffers that it still has: its end hands them back to the `Hal`, which may write them.
pub struct VirtIONetRaw<H: Hal, T: Transport, const QUEUE_SIZE: usize> {
    net: Placed<NetDevice<H, T, QUEUE_SIZE, QUEUE_SIZE>>,
    transport: PhantomData<T>,
    own: OwnBuffers,
    told: Told,
    /// The token of the next buffer that is filled, where that is known; else negative.
    filled: i32,
    header: u8,
    /// The device broke a rule and was reset, and nothing was posted since.
    is_reset: bool,
}

/// The transmit request that [`VirtIONetRaw::poll_transmit`] told of, until it is completed. C has ended it: what is left to do
/// needs no call. Whatever else may come in between, first makes it one that C holds again ([`VirtIONetRaw::leave_told`]).
struct Told(virtio_net_reaped);

impl Told {
    const NONE: Self = Self(virtio_net_reaped { slot: -1, length_and_flags: 0, cookie: 0 });

    #[inline]
    fn is_some(&self) -> bool {
        self.0.slot >= 0
    }

    #[inline]
    fn is(&self, token: u16) -> bool {
        self.0.slot == i32::from(token)
    }

    /// The device was reset before it sent the frame.
    #[inline]
    fn is_lost(&self) -> bool {
        self.0.length_and_flags & VIRTIO_NET_PACKET_LOST << VIRTIO_NET_REAPED_FLAGS != 0
    }
}

/// How a reset went.
#[derive(PartialEq)]
enum Reset {
    /// The device confirms it now: what it had is the callers' again.
    Done,
    /// It was reset before.
    Before,
    /// It does not confirm it, and may still use what it has.
    Pending,
}

/// What C needs to know of a buffer that was shared.
#[derive(Clone, Copy)]
struct Posting {
    /// The first byte behind the header, for the processor.
    frame: *mut u8,
    /// Bytes from there on.
    length: u32,
    /// The same first byte, for the device.
    device_address: u64,
    /// What tells the buffer when it comes back: where it was shared.
    cookie: u64,
}

// SAFETY: the buffers for `send` belong to the driver alone. All else is as in `NetDevice`.
unsafe impl<H: Hal, T: Transport + Send, const QUEUE_SIZE: usize> Send for VirtIONetRaw<H, T, QUEUE_SIZE> {}
// SAFETY: nothing reaches those buffers through a shared reference.
unsafe impl<H: Hal, T: Transport + Sync, const QUEUE_SIZE: usize> Sync for VirtIONetRaw<H, T, QUEUE_SIZE> {}

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> VirtIONetRaw<H, T, QUEUE_SIZE> {
    /// Sets the device up. No buffer is posted.
    ///
    /// # Errors
    /// `DmaError` where the `Hal` has no memory, or the heap, in a build that has one; `ConfigSpaceTooSmall`; `IoError` where the
    /// device does not keep to the rules.
    pub fn new(transport: T) -> Result<Self> {
        const { check_queue_size(QUEUE_SIZE) };
        // A `Hal` may copy what the device wrote only when the buffer is unshared, so C must not judge headers before that.
        let options = Options::new().original_features().with_some_mac().without_pools().trust_header();
        // As the original, until it is told not to.
        let options = options.interrupts(VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX);
        let own = OwnBuffers::default;
        let raw = |net| Self {
            net,
            transport: PhantomData,
            own: own(),
            told: Told::NONE,
            filled: -1,
            header: 0,
            is_reset: false,
        };
        owner_of(transport, options, raw, |raw| &mut raw.net, |raw| raw.header = raw.net.info().header_length as u8)
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

    /// Acknowledges the interrupt and tells what it was about.
    pub fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::from_bits_truncate(self.net.ack_interrupt())
    }

    /// Asks for no interrupts.
    pub fn disable_interrupts(&mut self) {
        // Both directions exist; a device that needs a reset interrupts for nothing.
        let _ = self.net.disable_interrupts(VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX);
    }

    /// Asks for interrupts when buffers come back, of either direction, which is so from the start until
    /// [`Self::disable_interrupts`]. Poll both afterwards: what came before the call does not interrupt.
    pub fn enable_interrupts(&mut self) {
        let _ = self.net.enable_interrupts(VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX);
    }

    /// The card's address.
    pub fn mac_address(&self) -> [u8; 6] {
        self.net.mac_address()
    }

    /// Whether [`Self::transmit_begin`] has a slot, as far as can be told without a look. Those of completed requests are taken
    /// until [`Self::transmit_complete`]. True where the device was reset, too: the next request brings it up again, and is
    /// refused with `QueueFull` where all slots are lost requests that nobody has completed.
    pub fn can_send(&self) -> bool {
        // Where less is in flight than `send` has posted, a buffer of its own has come back.
        self.net.tx_free() > usize::from(self.told.is_some())
            || self.net.tx_in_flight() < self.own.posted() && self.net.is_usable()
            || self.is_reset
    }

    /// Writes the header that must precede a frame, and returns its length.
    ///
    /// # Errors
    /// `InvalidParam` where the buffer is shorter.
    pub fn fill_buffer_header(&self, buffer: &mut [u8]) -> Result<usize> {
        let header = usize::from(self.header);
        buffer.get_mut(..header).ok_or(Error::InvalidParam)?.fill(0);
        Ok(header)
    }

    /// Posts a buffer that holds a header, as [`Self::fill_buffer_header`] writes it, and a frame. Returns the token of the
    /// request.
    ///
    /// # Errors
    /// `InvalidParam` for a frame below 14 bytes or above what the device takes; `QueueFull`; `IoError` where the device needed a
    /// reset and does not come up.
    ///
    /// # Safety
    /// The buffer stays where it is and as it is until [`Self::transmit_complete`] has returned for the token, or the driver is
    /// dropped.
    #[inline]
    pub unsafe fn transmit_begin(&mut self, tx_buf: &[u8]) -> Result<u16> {
        let header = usize::from(self.header);
        // Too short is below 0, which is too long.
        if tx_buf.len().wrapping_sub(header) > MOST_FRAME {
            return Err(Error::InvalidParam);
        }
        let buffer = NonNull::from(tx_buf);
        // SAFETY: the buffer stays in place by the caller's promise.
        let address = unsafe { H::share(buffer, BufferDirection::DriverToDevice) };
        // SAFETY: the buffer is at least as long as the header.
        let posting = unsafe { Posting::behind(header, buffer, address) };
        self.post(posting).inspect_err(|_| {
            // SAFETY: this is what was shared, and the driver did not take it.
            unsafe { H::unshare(address, buffer, BufferDirection::DriverToDevice) };
        })
    }

    /// The token of a request that the device has completed, if there is one. It stays that until [`Self::transmit_complete`], or
    /// until another call takes a request back.
    #[inline]
    pub fn poll_transmit(&mut self) -> Option<u16> {
        if !self.told.is_some() {
            self.told = self.reap_one();
            if !self.told.is_some() || self.own.any_posted() {
                return self.poll_transmit_slowly();
            }
        }
        Some(self.told.0.slot as u16)
    }

    /// Ends a request and returns the bytes that the device says it has written, which are none.
    ///
    /// # Errors
    /// `NotReady` where the device has not completed it; `IoError` where the device was reset first (the buffer is the caller's
    /// again).
    ///
    /// # Safety
    /// The buffer is the one that [`Self::transmit_begin`] returned the token for.
    #[inline]
    pub unsafe fn transmit_complete(&mut self, token: u16, tx_buf: &[u8]) -> Result<usize> {
        if !self.told.is(token) {
            self.tell(token)?;
        }
        let (address, is_lost) = (self.told.0.cookie, self.told.is_lost());
        self.told.0.slot = -1;
        // SAFETY: the buffer is the one that was shared, by the caller's promise, and the cookie is where.
        unsafe { H::unshare(address, NonNull::from(tx_buf), BufferDirection::DriverToDevice) };
        if is_lost { Err(Error::IoError) } else { Ok(0) }
    }

    /// Posts an empty buffer for a header and a frame. Returns its token.
    ///
    /// # Errors
    /// `InvalidParam` below 1,526 bytes; `QueueFull`; `IoError` where the device needed a reset and does not come up.
    ///
    /// # Safety
    /// The buffer stays where it is, and nobody reads or writes it, until [`Self::receive_complete`] has returned a result other
    /// than `NotReady` or `WrongToken` for the token, or the driver is dropped. The drop resets the device, but cannot tell
    /// whether that was confirmed: what was posted then should not be used again.
    #[inline]
    pub unsafe fn receive_begin(&mut self, rx_buf: &mut [u8]) -> Result<u16> {
        let header = usize::from(self.header);
        if rx_buf.len() < MIN_BUFFER_LEN {
            return Err(Error::InvalidParam);
        }
        if rx_buf.len() - header > MOST_FRAME {
            // SAFETY: by the caller's promise.
            return unsafe { self.receive_begin_with_part(rx_buf) };
        }
        let buffer = NonNull::from(rx_buf);
        // SAFETY: the buffer stays in place by the caller's promise.
        let address = unsafe { H::share(buffer, BufferDirection::DeviceToDriver) };
        // SAFETY: the buffer is longer than the header.
        let code = self.try_post_empty(unsafe { Posting::behind(header, buffer, address) });
        if code >= 0 { Ok(code as u16) } else { self.receive_begin_after(code, buffer, address) }
    }

    /// The token of the next buffer that the device has filled, if there is one; or of one that [`Self::receive_complete`] ends
    /// with an error, because the device broke a rule.
    #[inline]
    pub fn poll_receive(&self) -> Option<u16> {
        let mut code = self.filled;
        if code < 0 {
            // SAFETY: the handle is that of a driver.
            code = unsafe { virtio_net_rx_next(self.net.shared_handle(), 0) };
        }
        if code >= 0 { Some(code as u16) } else { self.oldest_after(code) }
    }

    /// Ends a request: the buffer holds a header and a frame, of the lengths returned.
    ///
    /// # Errors
    /// `NotReady` where no buffer has been filled, and `WrongToken` where it is not this one's turn: the buffer stays the
    /// device's. `IoError` where the device told a length that cannot be, or was reset: the buffer is the caller's again.
    ///
    /// # Safety
    /// The buffer is the one that [`Self::receive_begin`] returned the token for.
    #[inline]
    pub unsafe fn receive_complete(&mut self, token: u16, rx_buf: &mut [u8]) -> Result<(usize, usize)> {
        let mut taken = self.take_received(token);
        if taken.length < 0 {
            taken = self.take_received_after(taken.length, token)?;
        }
        self.filled = taken.next;
        // SAFETY: the buffer is the one that was shared, by the caller's promise, and the cookie is where.
        unsafe { H::unshare(taken.cookie, usable(self.header, rx_buf), BufferDirection::DeviceToDriver) };
        if taken.length == 0 { Err(Error::IoError) } else { Ok((usize::from(self.header), taken.length as usize)) }
    }

    /// Copies a frame and sends it: posts it and returns.
    ///
    /// # Errors
    /// `InvalidParam` for a frame below 14 or above 65,535 bytes; `DmaError` where the `Hal` has no memory for the copy;
    /// `QueueFull` where the slots are taken by requests that [`Self::transmit_complete`] has not ended, or the device sends
    /// nothing for long; `IoError` where the device needed a reset and does not come up.
    pub fn send(&mut self, tx_buf: &[u8]) -> Result {
        if tx_buf.len() > OWN_FRAME {
            return self.send_long(tx_buf);
        }
        for look in 0..WAIT_LOOKS {
            // More memory is asked for once: what is waited for afterwards is the device.
            let Some(place) = self.own_buffer(look == 0)? else {
                core::hint::spin_loop();
                continue;
            };
            let posting = self.own.fill(place, tx_buf)?;
            match self.post(posting) {
                Err(Error::QueueFull) if self.own.posted() != 0 => self.take_own_back()?,
                Err(error) => return Err(error),
                Ok(slot) => {
                    self.own.set_posted(place, slot);
                    return Ok(());
                }
            }
            core::hint::spin_loop();
        }
        Err(Error::QueueFull)
    }

    /// Posts the buffer and waits for a frame.
    ///
    /// # Errors
    /// `InvalidParam` below 1,526 bytes; `AlreadyUsed` while other receive buffers are posted; `IoError` where the device told a
    /// length that cannot be, or was reset. The buffer is the caller's again in each case: where the device does not confirm a
    /// reset, the call does not return.
    pub fn receive_wait(&mut self, rx_buf: &mut [u8]) -> Result<(usize, usize)> {
        if self.has_posted_empty() {
            return Err(Error::AlreadyUsed);
        }
        // SAFETY: the buffer is not touched until the request has ended.
        let token = unsafe { self.receive_begin(rx_buf)? };
        loop {
            // SAFETY: the buffer is the one of the token.
            match unsafe { self.receive_complete(token, rx_buf) } {
                Err(Error::NotReady) => core::hint::spin_loop(),
                outcome => return outcome,
            }
        }
    }
}

/// What the public calls are made of.
impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> VirtIONetRaw<H, T, QUEUE_SIZE> {
    /// What posting returns at last that returned an error first: a device that was reset is brought up, and tried again.
    #[cold]
    #[inline(never)]
    fn revived(&mut self, code: i32, post: impl FnOnce(&mut Self) -> i32) -> i32 {
        if code != VIRTIO_NET_ERROR_NEEDS_RESET && code != VIRTIO_NET_ERROR_STATE {
            return code;
        }
        self.leave_known();
        if let Err(error) = self.net.recover() {
            return error.code();
        }
        self.is_reset = false;
        let before = core::mem::replace(&mut self.header, self.net.info().header_length as u8);
        // What shall be posted has a header of the length that was right before.
        if before == self.header { post(self) } else { VIRTIO_NET_ERROR_STATE }
    }

    /// Posts a header and a frame.
    #[inline]
    fn post(&mut self, posting: Posting) -> Result<u16> {
        if self.told.is_some() {
            self.leave_told();
        }
        let code = self.try_post(posting);
        if code >= 0 {
            return Ok(code as u16);
        }
        let Posting { frame, length, device_address, cookie } = posting;
        self.post_after(code, frame, length, device_address, cookie)
    }

    /// The same after an error. The parts of the posting are not in memory, which costs all who come without an error.
    #[cold]
    #[inline(never)]
    fn post_after(
        &mut self,
        code: i32,
        frame: *mut u8,
        length: u32,
        device_address: u64,
        cookie: u64,
    ) -> Result<u16> {
        let posting = Posting { frame, length, device_address, cookie };
        let mut code = self.revived(code, |raw| raw.try_post(posting));
        if code == VIRTIO_NET_ERROR_QUEUE_FULL && self.own.any_posted() {
            self.take_own_back()?;
            code = self.try_post(posting);
        }
        checked(code)
    }

    /// Returns the slot in its lowest 16 bits, or an error.
    #[inline]
    fn try_post(&mut self, posting: Posting) -> i32 {
        let Posting { frame, length, device_address, cookie } = posting;
        let net = handle(&mut self.net);
        // SAFETY: header and frame stay as they are until the token is completed, by the promise of each caller.
        let code = unsafe { virtio_net_tx_post_raw(net, 0, frame, length, device_address, cookie) };
        if code >= VIRTIO_NET_KICK_DUE as i32 {
            notify_of_transmit(&mut *self.net.host().transport);
        }
        code
    }

    /// [`Self::receive_begin`] with no more of the buffer than a frame can fill.
    ///
    /// # Safety
    /// As there.
    #[cold]
    #[inline(never)]
    unsafe fn receive_begin_with_part(&mut self, rx_buf: &mut [u8]) -> Result<u16> {
        let part = rx_buf.get_mut(..usize::from(self.header) + MOST_FRAME).ok_or(Error::InvalidParam)?;
        // SAFETY: by the caller's promise.
        unsafe { self.receive_begin(part) }
    }

    /// [`Self::receive_begin`] after an error, with a buffer that was shared.
    #[cold]
    #[inline(never)]
    fn receive_begin_after(&mut self, code: i32, buffer: NonNull<[u8]>, address: PhysAddr) -> Result<u16> {
        let header = usize::from(self.header);
        // SAFETY: the buffer is longer than the header; so it is where the device is up again, whose header is as long.
        let code =
            self.revived(code, |raw| raw.try_post_empty(unsafe { Posting::behind(header, buffer, address) }));
        if code < 0 {
            // SAFETY: this is what was shared, and the driver did not take it.
            unsafe { H::unshare(address, buffer, BufferDirection::DeviceToDriver) };
        }
        checked(code)
    }

    #[inline]
    fn try_post_empty(&mut self, posting: Posting) -> i32 {
        let Posting { frame, length, device_address, cookie } = posting;
        // SAFETY: the buffer is the driver's until the token is completed.
        unsafe { virtio_net_rx_post_one(handle(&mut self.net), 0, 0, frame, length, device_address, cookie) }
    }

    /// What is known here of tokens does not outlive a reset.
    fn leave_known(&mut self) {
        self.leave_told();
        self.filled = -1;
    }

    /// Resets a device that broke a rule, or did not confirm its reset when it was asked last.
    fn reset(&mut self) -> Reset {
        self.leave_known();
        // SAFETY: the handle is that of a driver.
        match unsafe { virtio_net_stop(handle(&mut self.net)) } {
            VIRTIO_NET_ERROR_STATE => Reset::Before,
            code if code < 0 => Reset::Pending,
            _ => {
                self.is_reset = true;
                Reset::Done
            }
        }
    }

    /// A frame that has come back and is no more of C's business, or an error.
    #[inline]
    fn reap_one(&mut self) -> Told {
        // SAFETY: the handle is that of a driver.
        Told(unsafe { virtio_net_tx_reap_one(self.net.quiet_handle(), 0) })
    }

    /// Makes a request that was told one that C holds, so that no other gets its slot, and all calls know it.
    #[cold]
    #[inline(never)]
    fn leave_told(&mut self) {
        let Told(reaped) = core::mem::replace(&mut self.told, Told::NONE);
        if reaped.slot >= 0 {
            // The slot is the one that became free last: every call that frees another one leaves what was told first.
            // SAFETY: the handle is that of a driver.
            let code = unsafe { virtio_net_tx_unreap(self.net.quiet_handle(), 0, &reaped) };
            debug_assert_eq!(code, VIRTIO_NET_SUCCESS);
        }
    }

    /// Takes back what the device has sent, and repeats a notification that got lost.
    fn look_for_sent(&mut self) -> i32 {
        // SAFETY: the handle is that of a driver; with a count of 0 no packet is written.
        unsafe { virtio_net_tx_reap(handle(&mut self.net), 0, 0, core::ptr::null_mut(), 0) }
    }

    /// [`Self::poll_transmit`] where nothing was told, or what may be a buffer of `send`.
    #[cold]
    #[inline(never)]
    fn poll_transmit_slowly(&mut self) -> Option<u16> {
        let mut looked = false;
        loop {
            match checked(self.told.0.slot) {
                Ok(slot) if self.own.set_free(slot) => {}
                Ok(slot) if self.own.is_long(slot) => {
                    self.leave_told();
                    self.take_long_back();
                }
                Ok(slot) => return Some(slot),
                // What it had comes back now, if it confirms the reset.
                Err(_) if !self.net.is_usable() && self.reset() == Reset::Done => {}
                Err(_) if looked => return None,
                Err(_) => {
                    let _ = self.look_for_sent();
                    looked = true;
                }
            }
            self.told = self.reap_one();
        }
    }

    /// Makes the request of this token the one that was told, where it has come back.
    #[cold]
    #[inline(never)]
    fn tell(&mut self, token: u16) -> Result {
        self.leave_told();
        let mut taken = self.take_sent(token);
        if taken.is_none() {
            let _ = self.look_for_sent();
            if !self.net.is_usable() {
                self.reset();
            }
            taken = self.take_sent(token);
        }
        self.told = taken.ok_or(Error::NotReady)?;
        Ok(())
    }

    /// Ends the transmit request of a slot that has come back and is not one of `send`. Its length is not told: who calls this
    /// ends the request at once, with the caller's buffer at hand.
    fn take_sent(&mut self, slot: u16) -> Option<Told> {
        if self.own.has(slot) {
            return None;
        }
        let mut reaped = virtio_net_reaped { slot: slot.into(), ..Default::default() };
        // SAFETY: the handle is that of a driver.
        let flags = unsafe { virtio_net_tx_take_one(self.net.quiet_handle(), 0, slot.into(), &mut reaped.cookie) };
        reaped.length_and_flags = u32::try_from(flags).ok()? << VIRTIO_NET_REAPED_FLAGS;
        Some(Told(reaped))
    }

    /// Ends the receive request of a slot that is next, or lost.
    #[inline]
    fn take_received(&mut self, slot: u16) -> virtio_net_taken {
        // SAFETY: the handle is that of a driver.
        unsafe { virtio_net_rx_take_next(handle(&mut self.net), 0, slot.into()) }
    }

    /// The same after an error. A device that is found to be broken is reset, and then the buffer is lost.
    #[cold]
    #[inline(never)]
    fn take_received_after(&mut self, mut code: i32, slot: u16) -> Result<virtio_net_taken> {
        // What comes next may be another's now.
        self.filled = -1;
        if code == VIRTIO_NET_ERROR_SLOT {
            return Err(Error::WrongToken);
        }
        if code == VIRTIO_NET_ERROR_NOT_READY {
            // Perhaps a notification was lost, or the device is.
            // SAFETY: the handle is that of a driver; with a count of 0 no packet is written.
            code = unsafe { virtio_net_rx_peek(handle(&mut self.net), 0, 0, &mut virtio_net_packet::default(), 0) };
        }
        if code >= 0 {
            return Err(Error::NotReady);
        }
        self.reset();
        let taken = self.take_received(slot);
        if taken.length < 0 { Err(Error::NotReady) } else { Ok(taken) }
    }

    /// Whether there are receive buffers that the caller has not completed: the device's, or lost.
    fn has_posted_empty(&self) -> bool {
        let net = self.net.shared_handle();
        // SAFETY: the handle is that of a driver, here and below.
        let of_device = unsafe { virtio_net_rx_oldest(net, 0) };
        // SAFETY: as above.
        of_device >= 0 || unsafe { virtio_net_rx_next(net, 0) } >= 0
    }

    /// [`Self::poll_receive`] where no buffer is filled, or the device broke a rule: then the oldest one is up.
    #[cold]
    #[inline(never)]
    fn oldest_after(&self, code: i32) -> Option<u16> {
        if code != VIRTIO_NET_ERROR_NEEDS_RESET {
            return None;
        }
        // SAFETY: the handle is that of a driver.
        checked(unsafe { virtio_net_rx_oldest(self.net.shared_handle(), 0) }).ok()
    }

    /// A buffer for `send`: a free one, or one that has come back, or a new one, where it may `grow`.
    fn own_buffer(&mut self, grow: bool) -> Result<Option<usize>> {
        if self.own.free().is_none() {
            self.take_own_back()?;
        }
        if grow && self.own.free().is_none() {
            return self.own.grow::<H>(QUEUE_SIZE);
        }
        Ok(self.own.free())
    }

    /// Sends a frame that no buffer of `send` holds, from memory that is taken for it: one at a time.
    #[cold]
    #[inline(never)]
    fn send_long(&mut self, frame: &[u8]) -> Result {
        if frame.len() > MOST_FRAME {
            return Err(Error::InvalidParam);
        }
        for _ in 0..WAIT_LOOKS {
            if !self.own.has_long() {
                return self.post_long(frame);
            }
            self.take_own_back()?;
            core::hint::spin_loop();
        }
        Err(Error::QueueFull)
    }

    fn post_long(&mut self, frame: &[u8]) -> Result {
        let block = Block::for_long::<H>(frame.len()).ok_or(Error::DmaError)?;
        // SAFETY: the block is large enough, and nobody else has it.
        let posting = unsafe { block.fill(0, frame) };
        let mut outcome = Err(Error::QueueFull);
        for _ in 0..WAIT_LOOKS {
            outcome = self.post(posting);
            if outcome != Err(Error::QueueFull) || self.own.posted() == 0 {
                break;
            }
            core::hint::spin_loop();
        }
        match outcome {
            Ok(slot) => self.own.set_long(slot, block.pages),
            // SAFETY: the device never had it.
            Err(_) => unsafe { block.free::<H>() },
        }
        outcome.map(drop)
    }

    /// Gives the memory of a long frame back where it has been sent.
    #[cold]
    #[inline(never)]
    fn take_long_back(&mut self) {
        let mut packet = virtio_net_packet { slot: self.own.long_slot, ..Default::default() };
        // SAFETY: the handle is that of a driver, and there is room for one packet.
        if unsafe { virtio_net_tx_take(self.net.quiet_handle(), 0, &mut packet) } >= 0 {
            // SAFETY: the driver has given it back.
            unsafe { self.free_long(&packet) };
        }
    }

    /// # Safety
    /// The packet is the long frame's, as the driver has returned it.
    unsafe fn free_long(&mut self, packet: &virtio_net_packet) {
        self.own.forget_long();
        // SAFETY: by the caller's promise.
        unsafe { Block::of_long(packet).free::<H>() };
    }

    /// Takes the buffers of `send` back that the device has sent. Those of a device that was reset come back too; where it does
    /// not confirm that, an error.
    fn take_own_back(&mut self) -> Result {
        self.leave_told();
        let code = self.look_for_sent();
        if (code < 0 || !self.net.is_usable()) && self.reset() == Reset::Pending {
            return Err(Error::IoError);
        }
        if self.own.has_long() {
            self.take_long_back();
        }
        loop {
            self.told = self.reap_one();
            match checked(self.told.0.slot) {
                Ok(slot) if self.own.set_free(slot) => {}
                Ok(_) => break,
                Err(_) => return Ok(()),
            }
        }
        // The caller's own requests have come back too, and wait for it.
        self.leave_told();
        let net = self.net.quiet_handle();
        // SAFETY: the handle is that of a driver.
        self.own.set_free_where(|slot| unsafe { virtio_net_tx_take_one(net, 0, slot.into(), &mut 0) } >= 0);
        Ok(())
    }
}

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> Drop for VirtIONetRaw<H, T, QUEUE_SIZE> {
    fn drop(&mut self) {
        for _ in 0..WAIT_LOOKS {
            // Completed ones may wait for their owners; only what the device has is waited for.
            if self.net.tx_in_flight() == 0 {
                break;
            }
            if self.look_for_sent() < 0 {
                break;
            }
            core::hint::spin_loop();
        }
        if self.reset() == Reset::Pending {
            // The device may still use all of it, the callers' buffers and the rings too.
            crate::quarantine(self.own.bytes());
            self.net.give_up();
            return;
        }
        let mut packet = virtio_net_packet::default();
        // SAFETY: there is room for one packet, here and below.
        while unsafe { virtio_net_tx_reap(handle(&mut self.net), 0, 0, &mut packet, 1) } == 1 {
            if self.own.is_long(packet.slot) {
                // SAFETY: the driver has given it back.
                unsafe { self.free_long(&packet) };
            } else if !self.own.has(packet.slot) {
                // SAFETY: the driver has given the caller's buffer back.
                unsafe { unshare::<H>(&packet, BufferDirection::DriverToDevice) };
            }
        }
        // SAFETY: as above.
        while unsafe { virtio_net_rx_reap(handle(&mut self.net), 0, 0, &mut packet, 1) } == 1 {
            // SAFETY: as above.
            unsafe { unshare::<H>(&packet, BufferDirection::DeviceToDriver) };
        }
        self.own.free_all::<H>();
    }
}

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> core::fmt::Debug for VirtIONetRaw<H, T, QUEUE_SIZE> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VirtIONetRaw").field("net", &self.net).finish_non_exhaustive()
    }
}

/// Notifies the device. A C function, which a panic of the transport ends the program at: the frame is posted, and nobody knows
/// of it yet.
#[inline]
extern "C" fn notify_of_transmit<T: Transport>(transport: &mut T) {
    transport.notify(QUEUE_TRANSMIT);
}

/// What of a receive buffer can be used: the header, and the longest frame.
fn usable(header: u8, rx_buf: &mut [u8]) -> NonNull<[u8]> {
    let bytes = rx_buf.len().min(usize::from(header) + MOST_FRAME);
    NonNull::slice_from_raw_parts(NonNull::from(rx_buf).cast(), bytes)
}

/// A slot, or the original's error for a negative code.
#[inline]
fn checked(code: i32) -> Result<u16> {
    DriverError::check(code).map(|slot| slot as u16).map_err(translate)
}

impl Posting {
    /// The frame behind a header in a buffer that was shared at `address`, which is its cookie.
    ///
    /// # Safety
    /// The buffer has at least `header` bytes.
    #[inline]
    unsafe fn behind(header: usize, buffer: NonNull<[u8]>, address: PhysAddr) -> Self {
        Self {
            // SAFETY: by the caller's promise.
            frame: unsafe { buffer.cast::<u8>().add(header) }.as_ptr(),
            length: u32::try_from(buffer.len() - header).unwrap_or(u32::MAX),
            device_address: address + header as u64,
            cookie: address,
        }
    }
}

/// Takes a buffer back from the `Hal` that [`Posting::behind`] has described, and that the caller did not complete. Those of
/// `send` were never shared.
///
/// # Safety
/// It was shared, and its owner keeps it in place until the driver is gone.
unsafe fn unshare<H: Hal>(packet: &virtio_net_packet, direction: BufferDirection) {
    let header = (packet.device_address - packet.cookie) as usize;
    // SAFETY: the header precedes the frame in the same buffer.
    let start = unsafe { packet.data.sub(header) };
    let buffer = NonNull::slice_from_raw_parts(
        // SAFETY: a buffer of the caller's is not at address 0.
        unsafe { NonNull::new_unchecked(start) },
        header + packet.length as usize,
    );
    // SAFETY: by the caller's promise.
    unsafe { H::unshare(packet.cookie, buffer, direction) };
}

// ------------------------------------------------------------------------------------------------------------- for send

/// Buffers that `send` copies to, at most.
const OWN_BUFFERS: usize = 32;
/// The place behind them: the memory of a long frame.
const LONG: usize = OWN_BUFFERS;
/// Bytes of each: a header, and a frame.
const OWN_BYTES: usize = 2048;
/// The longest frame that one holds.
const OWN_FRAME: usize = OWN_BYTES - OWN_OFFSET;
/// Where the frame begins in its buffer: behind the header, and 16-byte aligned.
const OWN_OFFSET: usize = 16;
/// Buffers of a block of DMA memory: four pages.
const BLOCK_BUFFERS: usize = 8;

/// DMA memory that was asked for as one block.
#[derive(Clone, Copy)]
struct Block {
    address: PhysAddr,
    memory: NonNull<u8>,
    pages: usize,
}

impl Block {
    /// Memory for a frame of so many bytes.
    fn for_long<H: Hal>(bytes: usize) -> Option<Self> {
        let pages = (OWN_OFFSET + bytes).div_ceil(PAGE_SIZE);
        let (address, memory) = H::dma_alloc(pages, BufferDirection::DriverToDevice);
        (address != 0).then_some(Self { address, memory, pages })
    }

    /// The block of a long frame that came back.
    ///
    /// # Safety
    /// The packet's slot is that of the long frame.
    unsafe fn of_long(packet: &virtio_net_packet) -> Self {
        Self {
            address: packet.device_address - OWN_OFFSET as u64,
            // SAFETY: the frame lies so far behind the start of a block.
            memory: unsafe { NonNull::new_unchecked(packet.data.sub(OWN_OFFSET)) },
            pages: (OWN_OFFSET + packet.length as usize).div_ceil(PAGE_SIZE),
        }
    }

    /// # Safety
    /// This is what `dma_alloc` returned, and nobody uses it any more.
    unsafe fn free<H: Hal>(self) {
        // SAFETY: by the caller's promise.
        unsafe { H::dma_dealloc(self.address, self.memory, self.pages) };
    }

    /// Copies a frame to the buffer that begins at `start`.
    ///
    /// # Safety
    /// The buffer is the driver's, and holds the frame behind [`OWN_OFFSET`].
    #[inline]
    unsafe fn fill(&self, start: usize, frame: &[u8]) -> Posting {
        let offset = start + OWN_OFFSET;
        // SAFETY: by the caller's promise.
        let data = unsafe { self.memory.add(offset) };
        // SAFETY: as above; and the frame is not in memory that only the driver knows.
        unsafe { virtio_net_copy(data.as_ptr().cast(), frame.as_ptr().cast(), frame.len() as u32) };
        Posting {
            frame: data.as_ptr(),
            length: frame.len() as u32,
            device_address: self.address + offset as u64,
            cookie: 0, // its slot tells it
        }
    }
}

/// The buffers of `send`, in blocks that are asked for when they are needed. Their headers are zero, and stay that.
#[derive(Default)]
struct OwnBuffers {
    blocks: [Option<Block>; OWN_BUFFERS / BLOCK_BUFFERS],
    /// A bit for each buffer that there is.
    all: u64,
    /// A bit for each of these that is posted, and for a long frame, which is on its way.
    posted: u64,
    /// The slot that each other one is posted with.
    slots: [u16; OWN_BUFFERS],
    /// That of the long frame, and the pages of its memory.
    long_slot: u16,
    long_pages: u16,
}

impl OwnBuffers {
    /// A buffer of a new block, where there may be one and the `Hal` has the memory: four pages, or one. An error where there is
    /// none at all.
    fn grow<H: Hal>(&mut self, slots: usize) -> Result<Option<usize>> {
        let most = OWN_BUFFERS.min(slots);
        let Some(number) = self.blocks.iter().position(Option::is_none) else { return Ok(None) };
        let first = number * BLOCK_BUFFERS;
        for buffers in [BLOCK_BUFFERS, PAGE_SIZE / OWN_BYTES] {
            let buffers = buffers.min(most.saturating_sub(first));
            let pages = (buffers * OWN_BYTES).div_ceil(PAGE_SIZE);
            if pages == 0 {
                return Ok(None);
            }
            let (address, memory) = H::dma_alloc(pages, BufferDirection::DriverToDevice);
            if address != 0 {
                let bits = ((1 << buffers) - 1) << first;
                self.all |= bits;
                self.blocks[number] = Some(Block { address, memory, pages });
                return Ok(Some(first));
            }
        }
        if self.all == 0 { Err(Error::DmaError) } else { Ok(None) }
    }

    /// Gives all memory back. The device has none of it.
    fn free_all<H: Hal>(&mut self) {
        for block in self.blocks.iter_mut().filter_map(Option::take) {
            // SAFETY: this is what `dma_alloc` returned, and nobody uses it any more.
            unsafe { block.free::<H>() };
        }
    }

    /// Of all memory, that of a long frame counted.
    fn bytes(&self) -> usize {
        let long = if self.has_long() { self.long_pages.into() } else { 0 };
        PAGE_SIZE * self.blocks.iter().flatten().fold(long, |sum, block| sum + block.pages)
    }

    /// How many are posted, a long one counted.
    fn posted(&self) -> usize {
        self.posted.count_ones() as usize
    }

    #[inline]
    fn any_posted(&self) -> bool {
        self.posted != 0
    }

    fn free(&self) -> Option<usize> {
        let free = self.all & !self.posted;
        (free != 0).then_some(free.trailing_zeros() as usize)
    }

    /// Whether one is posted with this slot, or a long one.
    fn has(&self, slot: u16) -> bool {
        self.is_long(slot) || self.each_posted().any(|(_, own)| own == slot)
    }

    /// Of each that is posted, but for a long one, its bit and its slot.
    fn each_posted(&self) -> impl Iterator<Item = (u64, u16)> + '_ {
        let mut posted = self.posted as u32;
        core::iter::from_fn(move || {
            let place = posted.trailing_zeros();
            posted &= posted.checked_sub(1)?;
            Some((1 << place, self.slots[place as usize % OWN_BUFFERS]))
        })
    }

    /// The one that is posted with this slot, but for a long one, is free again, where there is one.
    fn set_free(&mut self, slot: u16) -> bool {
        let found = self.each_posted().find(|(_, own)| *own == slot);
        self.posted &= !found.map_or(0, |(bit, _)| bit);
        found.is_some()
    }

    /// Those are free again whose slots `has_come_back` says have.
    fn set_free_where(&mut self, mut has_come_back: impl FnMut(u16) -> bool) {
        let free = self.each_posted().filter(|(_, slot)| has_come_back(*slot)).fold(0, |bits, (bit, _)| bits | bit);
        self.posted &= !free;
    }

    fn set_posted(&mut self, place: usize, slot: u16) {
        self.posted |= 1 << place;
        self.slots[place] = slot;
    }

    /// Copies a frame of at most [`OWN_FRAME`] bytes to a free buffer.
    fn fill(&mut self, place: usize, frame: &[u8]) -> Result<Posting> {
        let block = self.blocks[place / BLOCK_BUFFERS].ok_or(Error::DmaError)?;
        // SAFETY: `place` is a buffer of the block.
        Ok(unsafe { block.fill(place % BLOCK_BUFFERS * OWN_BYTES, frame) })
    }

    fn has_long(&self) -> bool {
        self.posted & 1 << LONG != 0
    }

    /// Whether a long one is posted with this slot.
    fn is_long(&self, slot: u16) -> bool {
        self.has_long() && self.long_slot == slot
    }

    fn set_long(&mut self, slot: u16, pages: usize) {
        self.posted |= 1 << LONG;
        self.long_slot = slot;
        self.long_pages = pages as u16; // of a frame whose length has 16 bits
    }

    fn forget_long(&mut self) {
        self.posted &= !(1 << LONG);
    }
}
