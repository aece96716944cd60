//! The network card: one virtio-net device behind a lock, raw Ethernet frames in and out, by polling.
//!
//! This file needs of its kernel `virtio::{StaticMmioTransport, VirtioHal}`, `Spinlock`, `println!` and `verbose!`, all under
//! LevitateOS' names, and can be copied there as it is.

use crate::virtio::{StaticMmioTransport, VirtioHal};
use alloc::vec::Vec;
use levitate_utils::Spinlock;
use virtio_net_c::VirtIONet;

/// Descriptors in each of the two queues.
pub const QUEUE_SIZE: usize = 16;
/// A full frame, the device's header before it, and room for a VLAN tag.
const RX_BUFFER_LEN: usize = 2048;

/// The network card's driver.
pub type NetDevice = VirtIONet<VirtioHal, StaticMmioTransport, QUEUE_SIZE>;

static NET_DEVICE: Spinlock<Option<NetDevice>> = Spinlock::new(None);

/// Why a frame was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// There is no network card.
    NotInitialized,
    /// The card has no room for another frame now.
    DeviceBusy,
    /// The driver refused the frame.
    SendFailed,
}

/// Starts the driver on the card behind `transport`.
pub fn init(transport: StaticMmioTransport) {
    crate::verbose!("Initializing Network device...");
    match NetDevice::new(transport, RX_BUFFER_LEN) {
        Ok(net) => {
            let mac = net.mac_address();
            crate::verbose!(
                "VirtIO Net: MAC={:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
                mac[0],
                mac[1],
                mac[2],
                mac[3],
                mac[4],
                mac[5]
            );
            *NET_DEVICE.lock() = Some(net);
        }
        Err(error) => crate::println!("Failed to init VirtIO Net: {:?}", error),
    }
}

/// The card's address, or `None` when there is no card.
pub fn mac_address() -> Option<[u8; 6]> {
    with_device(|net| net.mac_address())
}

/// Whether a frame can be sent now.
pub fn can_send() -> bool {
    with_device(|net| net.can_send()).unwrap_or(false)
}

/// Whether a frame has arrived.
pub fn can_recv() -> bool {
    with_device(|net| net.can_recv()).unwrap_or(false)
}

/// Sends one Ethernet frame, without its check sequence.
pub fn send(frame: &[u8]) -> Result<(), NetError> {
    let sent = with_device(|net| {
        if !net.can_send() {
            return Err(NetError::DeviceBusy);
        }
        let mut buffer = net.new_tx_buffer(frame.len());
        buffer.packet_mut().copy_from_slice(frame);
        net.send(buffer).map_err(|_| NetError::SendFailed)
    });
    sent.unwrap_or(Err(NetError::NotInitialized))
}

/// The next frame that has arrived, or `None`. Does not wait.
pub fn receive() -> Option<Vec<u8>> {
    with_device(|net| {
        let buffer = net.receive().ok()?;
        let frame = buffer.packet().to_vec();
        // The driver takes back what it gave; if it does not, only this one slot is lost.
        let _ = net.recycle_rx_buffer(buffer);
        Some(frame)
    })
    .flatten()
}

/// Runs `f` with the card's driver, or returns `None` when there is no card. `f` must not call this module: it has its lock.
pub fn with_device<R>(f: impl FnOnce(&mut NetDevice) -> R) -> Option<R> {
    NET_DEVICE.lock().as_mut().map(f)
}

/// Gives the card up: the driver waits until what was sent has left, and stops the device.
pub fn close() {
    let device = NET_DEVICE.lock().take();
    drop(device);
}
