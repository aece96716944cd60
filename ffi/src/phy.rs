//! `smoltcp::phy::Device` for the driver, in place, and for the drop-in.
//!
//! smoltcp asks for a received frame and for room for the answer at once, and uses the room while it still reads the frame. In
//! place that is one token of each direction. The drop-in's tokens hold it by address; both borrow it for as long as they live,
//! and run on the caller's thread.

use super::driver::{Info, NetDevice};
use super::frames::{RxFrame, TxFrame};
use super::split::{Duplex, Receiver, Transmitter};
use super::virtio_drivers::Hal;
use smoltcp_0_14::phy::{self, DeviceCapabilities, Medium};
use smoltcp_0_14::time::Instant;

/// A received frame, and room for its answer.
fn exchange<'a, T>(
    mut transmitter: Transmitter<'a, T>,
    receiver: Receiver<'a, T>,
) -> Option<(RxFrame<'a>, TxFrame<'a>)> {
    // A frame may have to be answered, so it stays in the driver until there is room for the answer. Nobody else looks after the
    // frames in flight while nothing is sent. A broken device shows in the next call.
    if transmitter.free() == 0 && (transmitter.poll().is_err() || transmitter.free() == 0) {
        return None;
    }
    let Some(received) = receiver.into_frame().ok()? else {
        let _ = transmitter.poll();
        return None;
    };
    Some((received, transmitter.into_frame().ok()?))
}

impl<H: Hal, T, const TX: usize, const RX: usize> phy::Device for NetDevice<H, T, TX, RX> {
    type RxToken<'a>
        = RxFrame<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = TxFrame<'a>
    where
        Self: 'a;

    fn receive(&mut self, _timestamp: Instant) -> Option<(RxFrame<'_>, TxFrame<'_>)> {
        let (transmitter, receiver, _) = self.split();
        exchange(transmitter, receiver)
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<TxFrame<'_>> {
        self.reserve().ok()
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(&self.info(), self.info().tx_buffer_bytes)
    }
}

impl<T> phy::Device for Duplex<'_, T> {
    type RxToken<'a>
        = RxFrame<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = TxFrame<'a>
    where
        Self: 'a;

    fn receive(&mut self, _timestamp: Instant) -> Option<(RxFrame<'_>, TxFrame<'_>)> {
        exchange(self.transmitter.reborrow(), self.receiver.reborrow())
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<TxFrame<'_>> {
        self.transmitter.reserve().ok()
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let info = self.transmitter.info();
        capabilities(&info, info.tx_buffer_bytes)
    }
}

/// What smoltcp may rely on. No checksum is computed by the device, so smoltcp computes and checks all of them, which is its
/// default.
fn capabilities(info: &Info, tx_bytes: usize) -> DeviceCapabilities {
    const ETHERNET_HEADER: usize = 14;
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ethernet;
    // In smoltcp's terms this counts the Ethernet header.
    let frame = usize::from(info.mtu) + ETHERNET_HEADER;
    capabilities.max_transmission_unit = frame.min(tx_bytes).min(info.rx_buffer_bytes);
    // More frames at once than slots would be lost.
    capabilities.max_burst_size = Some(info.tx_slots.min(info.rx_slots));
    capabilities
}

impl phy::RxToken for RxFrame<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self)
    }
}

impl phy::TxToken for TxFrame<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, length: usize, f: F) -> R {
        // smoltcp asks for no more than the capabilities tell.
        let fits = length.min(self.len());
        let result = f(self.get_mut(..fits).unwrap_or_default());
        // A frame that the device does not take is lost, as on any Ethernet.
        let _ = self.send(fits);
        result
    }
}

#[cfg(feature = "alloc")]
mod drop_in {
    use super::super::buffer::{RxBuffer, TxBuffer};
    use super::super::compat::VirtIONet;
    use super::super::virtio_drivers::Hal;
    use super::super::virtio_drivers::transport::Transport;
    use super::capabilities;
    use core::marker::PhantomData;
    use core::ptr::NonNull;
    use smoltcp_0_14::phy::{self, DeviceCapabilities};
    use smoltcp_0_14::time::Instant;

    /// A received frame; its buffer is recycled after it has been read.
    #[derive(Debug)]
    pub struct RxToken<'a, H: Hal, T: Transport, const N: usize> {
        net: NonNull<VirtIONet<H, T, N>>,
        buffer: RxBuffer,
        lifetime: PhantomData<&'a mut ()>,
    }

    /// Room for one frame.
    #[derive(Debug)]
    pub struct TxToken<'a, H: Hal, T: Transport, const N: usize> {
        net: NonNull<VirtIONet<H, T, N>>,
        lifetime: PhantomData<&'a mut ()>,
    }

    /// Whether a frame can be sent, after a look for what the device has sent meanwhile.
    fn has_room<H: Hal, T: Transport, const N: usize>(net: &mut VirtIONet<H, T, N>) -> bool {
        // A broken device shows in the next call.
        net.can_send() || net.poll().is_ok() && net.can_send()
    }

    impl<H: Hal, T: Transport, const N: usize> phy::Device for VirtIONet<H, T, N> {
        type RxToken<'a>
            = RxToken<'a, H, T, N>
        where
            Self: 'a;
        type TxToken<'a>
            = TxToken<'a, H, T, N>
        where
            Self: 'a;

        fn receive(&mut self, _timestamp: Instant) -> Option<(RxToken<'_, H, T, N>, TxToken<'_, H, T, N>)> {
            // A frame may have to be answered, so it stays in the driver until there is room for the answer.
            if !has_room(self) {
                return None;
            }
            let buffer = VirtIONet::receive(self).ok()?;
            let net = NonNull::from(self);
            Some((RxToken { net, buffer, lifetime: PhantomData }, TxToken { net, lifetime: PhantomData }))
        }

        fn transmit(&mut self, _timestamp: Instant) -> Option<TxToken<'_, H, T, N>> {
            has_room(self).then(|| TxToken { net: NonNull::from(self), lifetime: PhantomData })
        }

        fn capabilities(&self) -> DeviceCapabilities {
            // Frames that are longer than a slot's buffer are sent from their own.
            capabilities(&self.info(), usize::MAX)
        }
    }

    impl<H: Hal, T: Transport, const N: usize> phy::RxToken for RxToken<'_, H, T, N> {
        fn consume<R, F: FnOnce(&[u8]) -> R>(mut self, f: F) -> R {
            let result = f(self.buffer.packet());
            // SAFETY: the token borrows the driver, and the other token, the only other user, is not in a call.
            let _ = unsafe { self.net.as_mut() }.recycle_rx_buffer(self.buffer);
            result
        }
    }

    impl<H: Hal, T: Transport, const N: usize> phy::TxToken for TxToken<'_, H, T, N> {
        fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, length: usize, f: F) -> R {
            let mut buffer = TxBuffer::zeroed(length);
            // The caller may use the receive token in here, so the driver is not borrowed yet.
            let result = f(buffer.packet_mut());
            // SAFETY: as for the receive token.
            let net = unsafe { self.net.as_mut() };
            // A frame that the device does not take is lost, as on any Ethernet.
            let _ = net.send(buffer);
            result
        }
    }
}
