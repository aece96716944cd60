//! The NIC driver of the crate `virtio-drivers`, so that the kernel's feature `rust-net` can put it in the C driver's
//! place without a change in `net.rs` or `stack.rs`: what the original lacks, `phy::Device` of smoltcp, is added here.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use virtio_drivers::device::net;
use virtio_drivers::transport::Transport;
use virtio_drivers::{Hal, Result};

/// The largest Ethernet frame that is sent: 1,500 bytes and the header. The driver does not tell the device's MTU.
const FRAME: usize = 1514;

/// The driver of `virtio-drivers`; all its methods are reached through `Deref`.
pub struct VirtIONet<H: Hal, T: Transport, const QUEUE_SIZE: usize>(net::VirtIONet<H, T, QUEUE_SIZE>);

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> VirtIONet<H, T, QUEUE_SIZE> {
    /// Starts the driver, with receive buffers of `buf_len` bytes.
    pub fn new(transport: T, buf_len: usize) -> Result<Self> {
        net::VirtIONet::new(transport, buf_len).map(Self)
    }

    /// Frames that the device has not sent yet: none, as `send` waits for each.
    pub fn tx_in_flight(&self) -> usize {
        0
    }
}

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> Deref for VirtIONet<H, T, QUEUE_SIZE> {
    type Target = net::VirtIONet<H, T, QUEUE_SIZE>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> DerefMut for VirtIONet<H, T, QUEUE_SIZE> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// A received frame, copied out of the driver's buffer.
pub struct RxToken(Vec<u8>);

/// Room for one frame.
pub struct TxToken<'d, H: Hal, T: Transport, const QUEUE_SIZE: usize>(&'d mut net::VirtIONet<H, T, QUEUE_SIZE>);

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> phy::Device for VirtIONet<H, T, QUEUE_SIZE> {
    type RxToken<'t>
        = RxToken
    where
        Self: 't;
    type TxToken<'t>
        = TxToken<'t, H, T, QUEUE_SIZE>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        // A frame may have to be answered, so it stays in the driver until there is room for the answer.
        if !self.0.can_send() {
            return None;
        }
        let buffer = self.0.receive().ok()?;
        let frame = buffer.packet().to_vec();
        // The driver takes back what it gave.
        let _ = self.0.recycle_rx_buffer(buffer);
        Some((RxToken(frame), TxToken(&mut self.0)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        self.0.can_send().then_some(TxToken(&mut self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl<H: Hal, T: Transport, const QUEUE_SIZE: usize> phy::TxToken for TxToken<'_, H, T, QUEUE_SIZE> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut buffer = self.0.new_tx_buffer(length);
        let result = f(buffer.packet_mut());
        // A frame that the driver refuses is lost, as on any Ethernet; the protocols above repeat it.
        let _ = self.0.send(buffer);
        result
    }
}
