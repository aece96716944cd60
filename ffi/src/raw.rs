//! The drop-in for `virtio_drivers::device::net::VirtIONetRaw`: the caller's buffers, no heap.
//!
//! A token is a slot. The first tokens are 0, 1, 2 … in order, and every token is below `QUEUE_SIZE`. Where it differs from the original:
//!
//! - Completions may be taken in any order: `transmit_complete` takes any token that the device has returned, not the next one only.
//! - `send` copies the frame to a slot's own buffer and returns once it is posted, whatever else is in flight. It refuses a frame below 14 or
//!   above 1,518 bytes. These buffers take `QUEUE_SIZE` times 1,536 bytes of DMA memory.
//! - `receive_wait` refuses to begin while other receive buffers are posted: they would be filled first.

use super::driver::{Info, NetDevice, Options, Statistics};
use super::translate::{MIN_BUFFER_LEN, WAIT_LOOKS, check_queue_size, translate};
use super::virtio_drivers::transport::{InterruptStatus, Transport};
use super::virtio_drivers::{BufferDirection, Error, Hal, Result};
use crate::Error as DriverError;
use crate::sys::*;
use core::ptr::NonNull;

/// A virtio network card over the caller's buffers, with the interface of `virtio_drivers::device::net::VirtIONetRaw`.
///
/// `QUEUE_SIZE` is a power of two from 1 to 32,768; anything else does not compile.
pub struct VirtIONetRaw<H: Hal, T: Transport, const QUEUE_SIZE: usize> {
    net: NetDevice<H, T, QUEUE_SIZE, QUEUE_SIZE>,
    /// Receive buffers that the caller has not completed.
    posted: u16,
    header: u8,
}

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> VirtIONetRaw<H, T, QUEUE_SIZE> {
    /// Sets the device up. No buffer is posted.
    ///
    /// # Errors
    /// As `VirtIONet::new`.
    pub fn new(transport: T) -> Result<Self> {
        const { check_queue_size(QUEUE_SIZE) };
        // A `Hal` may copy what the device wrote only when the buffer is unshared, so C must not judge headers before that.
        let options = Options::new().with_some_mac().without_receive_pool().trust_header();
        let net = NetDevice::new(transport, options).map_err(translate)?;
        let header = net.info().header_length as u8;
        Ok(Self { net, posted: 0, header })
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

    /// Acknowledges the interrupt and tells what it was about.
    pub fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::from_bits_truncate(self.net.ack_interrupt())
    }

    /// Asks for no interrupts.
    pub fn disable_interrupts(&mut self) {
        // Both directions exist; a device that needs a reset interrupts for nothing.
        let _ = self.net.disable_interrupts(VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX);
    }

    /// Asks for interrupts when buffers come back, of either direction. Poll both afterwards: what came before the call does not
    /// interrupt.
    pub fn enable_interrupts(&mut self) {
        let _ = self.net.enable_interrupts(VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX);
    }

    /// The card's address.
    pub fn mac_address(&self) -> [u8; 6] {
        self.net.mac_address()
    }

    /// Whether [`Self::transmit_begin`] has a slot. Those of completed requests are taken until [`Self::transmit_complete`].
    pub fn can_send(&self) -> bool {
        self.net.tx_free() != 0
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

    /// Posts a buffer that holds a header, as [`Self::fill_buffer_header`] writes it, and a frame. Returns the token of the request.
    ///
    /// # Errors
    /// `InvalidParam` for a frame below 14 bytes or above what the device takes; `QueueFull`; `IoError` where the device needs a reset.
    ///
    /// # Safety
    /// The buffer stays where it is and as it is until [`Self::transmit_complete`] has returned for the token, or the driver is dropped.
    pub unsafe fn transmit_begin(&mut self, tx_buf: &[u8]) -> Result<u16> {
        let frame = tx_buf.get(usize::from(self.header)..).ok_or(Error::InvalidParam)?;
        // SAFETY: the buffer stays in place by the caller's promise.
        let address = unsafe { H::share(NonNull::from(tx_buf), BufferDirection::DriverToDevice) };
        let packet = virtio_net_packet {
            cookie: address,
            data: frame.as_ptr().cast_mut(),
            device_address: address + u64::from(self.header),
            length: u32::try_from(frame.len()).unwrap_or(u32::MAX),
            flags: VIRTIO_NET_PACKET_HAS_HEADER,
            ..Default::default()
        };
        self.post(packet).inspect_err(|_| {
            // SAFETY: this is what was shared, and the driver did not take it.
            unsafe { H::unshare(address, NonNull::from(tx_buf), BufferDirection::DriverToDevice) };
        })
    }

    /// The token of a request that the device has completed, if there is one. It stays that until [`Self::transmit_complete`].
    pub fn poll_transmit(&mut self) -> Option<u16> {
        // SAFETY: the handle is that of a driver.
        let slot = unsafe { virtio_net_tx_next(self.net.handle(), 0) };
        DriverError::check(slot).ok().map(|slot| slot as u16)
    }

    /// Ends a request and returns the bytes that the device says it has written, which are none.
    ///
    /// # Errors
    /// `NotReady` where the device has not completed it.
    ///
    /// # Safety
    /// The buffer is the one that [`Self::transmit_begin`] returned the token for.
    pub unsafe fn transmit_complete(&mut self, token: u16, tx_buf: &[u8]) -> Result<usize> {
        // What has come back is known after a look.
        let _ = self.poll_transmit();
        let mut packet = virtio_net_packet { slot: token, ..Default::default() };
        // SAFETY: the handle is that of a driver.
        let code = unsafe { virtio_net_tx_take(self.net.handle(), 0, &mut packet) };
        if code == VIRTIO_NET_ERROR_SLOT {
            return Err(Error::NotReady);
        }
        DriverError::check(code).map_err(translate)?;
        // SAFETY: the buffer is the one that was shared, by the caller's promise, and the cookie is where.
        unsafe { H::unshare(packet.cookie, NonNull::from(tx_buf), BufferDirection::DriverToDevice) };
        Ok(0)
    }

    /// Posts an empty buffer for a header and a frame. Returns its token.
    ///
    /// # Errors
    /// `InvalidParam` below 1,526 bytes; `QueueFull`; `IoError` where the device needs a reset.
    ///
    /// # Safety
    /// The buffer stays where it is, and nobody reads or writes it, until [`Self::receive_complete`] has returned for the token. A driver that is
    /// dropped before resets the device, but cannot tell whether that was confirmed: what was posted then should not be used again.
    pub unsafe fn receive_begin(&mut self, rx_buf: &mut [u8]) -> Result<u16> {
        if rx_buf.len() < MIN_BUFFER_LEN {
            return Err(Error::InvalidParam);
        }
        let header = usize::from(self.header);
        let buffer = NonNull::from(rx_buf);
        // SAFETY: the buffer stays in place by the caller's promise.
        let address = unsafe { H::share(buffer, BufferDirection::DeviceToDriver) };
        let mut packet = virtio_net_packet {
            cookie: address,
            // SAFETY: the buffer is longer than the header.
            data: unsafe { buffer.cast::<u8>().add(header) }.as_ptr(),
            device_address: address + header as u64,
            length: u32::try_from(buffer.len() - header).unwrap_or(u32::MAX).min(u32::from(u16::MAX)),
            ..Default::default()
        };
        // SAFETY: the buffer is the driver's until the token is completed.
        let code = unsafe { virtio_net_rx_post(self.net.handle(), 0, 0, &mut packet, 1) };
        if let Err(error) = DriverError::check(code) {
            // SAFETY: this is what was shared, and the driver did not take it.
            unsafe { H::unshare(address, buffer, BufferDirection::DeviceToDriver) };
            return Err(translate(error));
        }
        self.posted += 1;
        Ok(packet.slot)
    }

    /// The token of the next buffer that the device has filled, if there is one.
    pub fn poll_receive(&self) -> Option<u16> {
        // SAFETY: the handle is that of a driver.
        let slot = unsafe { virtio_net_rx_next(self.net.shared_handle(), 0) };
        DriverError::check(slot).ok().map(|slot| slot as u16)
    }

    /// Ends a request: the buffer holds a header and a frame, of the lengths returned.
    ///
    /// # Errors
    /// `NotReady` where no buffer has been filled; `WrongToken` where it is not this one's turn; `IoError` where the device told a length that
    /// cannot be (the buffer is the caller's again), or needs a reset.
    ///
    /// # Safety
    /// The buffer is the one that [`Self::receive_begin`] returned the token for.
    pub unsafe fn receive_complete(&mut self, token: u16, rx_buf: &mut [u8]) -> Result<(usize, usize)> {
        let mut packet = virtio_net_packet::default();
        let waiting = self.net.rx_ready() != 0;
        match self.poll_receive() {
            Some(next) if next == token => {}
            Some(_) => return Err(Error::WrongToken),
            // Something waits, and it is no buffer that the device has: the look below breaks the queue.
            None if waiting => {}
            None => {
                // SAFETY: with a count of 0 no packet is written; the call tells whether the queue is broken.
                let code = unsafe { virtio_net_rx_peek(self.net.handle(), 0, 0, &mut packet, 0) };
                return Err(DriverError::check(code).map_or_else(translate, |_| Error::NotReady));
            }
        }
        // SAFETY: there is room for one packet.
        let code = unsafe { virtio_net_rx_peek(self.net.handle(), 0, 0, &mut packet, 1) };
        if DriverError::check(code).map_err(translate)? == 0 {
            return Err(Error::IoError);
        }
        self.posted -= 1;
        // SAFETY: the slot was just lent.
        let code = unsafe { virtio_net_rx_release(self.net.handle(), 0, 0, &packet, 1) };
        if packet.slot != token {
            // The device changed what it had said. The other buffer's token is gone, its owner learns that by the same error.
            return Err(Error::IoError);
        }
        // SAFETY: the buffer is the one that was shared, by the caller's promise, and the cookie is where.
        unsafe { H::unshare(packet.cookie, NonNull::from(rx_buf), BufferDirection::DeviceToDriver) };
        DriverError::check(code).map_err(translate)?;
        if packet.length == 0 {
            return Err(Error::IoError);
        }
        Ok((usize::from(self.header), packet.length as usize))
    }

    /// Copies a frame and sends it: posts it and returns.
    ///
    /// # Errors
    /// `InvalidParam` for a frame below 14 or above 1,518 bytes; `QueueFull` where no slot becomes free for long; `IoError` where the device
    /// needs a reset.
    pub fn send(&mut self, tx_buf: &[u8]) -> Result {
        for _ in 0..WAIT_LOOKS {
            match self.net.send(tx_buf) {
                Err(DriverError::QUEUE_FULL) => core::hint::spin_loop(),
                outcome => return outcome.map_err(translate),
            }
        }
        Err(Error::QueueFull)
    }

    /// Posts the buffer and waits for a frame.
    ///
    /// # Errors
    /// `InvalidParam` below 1,526 bytes; `AlreadyUsed` while other receive buffers are posted; `IoError` where the device told a length that cannot
    /// be, or needs a reset. The buffer is the caller's again in each case: where the device does not confirm a reset, the call
    /// does not return.
    pub fn receive_wait(&mut self, rx_buf: &mut [u8]) -> Result<(usize, usize)> {
        if self.posted != 0 {
            return Err(Error::AlreadyUsed);
        }
        // SAFETY: the buffer is not touched until the request has ended or the device was reset.
        let token = unsafe { self.receive_begin(rx_buf)? };
        loop {
            // SAFETY: the buffer is the one of the token.
            match unsafe { self.receive_complete(token, rx_buf) } {
                Err(Error::NotReady) => core::hint::spin_loop(),
                Err(Error::IoError) if self.posted != 0 => {
                    self.take_receive_buffer_back(rx_buf);
                    return Err(Error::IoError);
                }
                outcome => return outcome,
            }
        }
    }
}

/// What the public calls are made of.
impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> VirtIONetRaw<H, T, QUEUE_SIZE> {
    fn post(&mut self, mut packet: virtio_net_packet) -> Result<u16> {
        // SAFETY: header and frame stay as they are until the token is completed, by the promise of each caller.
        let code = unsafe { virtio_net_tx_post(self.net.handle(), 0, 0, &mut packet, 1) };
        DriverError::check(code).map_err(translate)?;
        Ok(packet.slot)
    }

    /// Resets the device until it confirms that, which ends its use of the buffer.
    fn take_receive_buffer_back(&mut self, rx_buf: &mut [u8]) {
        // SAFETY: the handle is that of a driver.
        while unsafe { virtio_net_stop(self.net.handle()) } < 0 {
            core::hint::spin_loop();
        }
        let mut packet = virtio_net_packet::default();
        // SAFETY: there is room for one packet.
        if unsafe { virtio_net_rx_reap(self.net.handle(), 0, 0, &mut packet, 1) } == 1 {
            // SAFETY: the only receive buffer that was posted is this one, and the cookie is where it was shared.
            unsafe { H::unshare(packet.cookie, NonNull::from(rx_buf), BufferDirection::DeviceToDriver) };
        }
        self.posted = 0;
        // Where it does not come up, the next call says so.
        let _ = self.net.recover();
    }
}
