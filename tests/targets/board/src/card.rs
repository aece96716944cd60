//! Where the card is, and which driver and transport it gets.

use crate::boot;
use crate::memory::Machine;
use core::ptr::NonNull;

#[cfg(not(feature = "pci"))]
fn slots() -> impl Iterator<Item = NonNull<u8>> {
    boot::MMIO.step_by(boot::MMIO_STEP).filter_map(|slot| NonNull::new(slot as *mut u8))
}

/// The driver's own MMIO transport.
#[cfg(feature = "own")]
pub fn find() -> Option<impl echo::Card> {
    use virtio_net_c::{Mmio, NetDevice, Options, sys};
    // SAFETY: the board has virtio-mmio slots there.
    let is_card = |slot: &NonNull<u8>| unsafe { sys::virtio_net_mmio_probe(slot.as_ptr().cast()) } == 0;
    let slot = slots().find(is_card)?;
    // SAFETY: the same, and the image has one driver.
    unsafe {
        NetDevice::<Machine, Mmio, { echo::QUEUE_SIZE }, { echo::QUEUE_SIZE }>::new_mmio(slot, Options::new())
    }
    .ok()
}

/// Bytes of a receive buffer.
#[cfg(feature = "heap")]
const BUFFER: usize = 2048;

/// The MMIO transport of virtio-drivers.
#[cfg(any(feature = "table", feature = "original"))]
pub fn find() -> Option<impl echo::Card> {
    #[cfg(feature = "original")]
    use virtio_drivers::device::net::VirtIONet;
    use virtio_drivers::transport::mmio::MmioTransport;
    use virtio_drivers::transport::{DeviceType, Transport};
    #[cfg(feature = "table")]
    use virtio_net_c::VirtIONet;

    crate::memory::init();
    // SAFETY: the board has virtio-mmio slots there, and each is looked at once.
    let transport = |slot: NonNull<u8>| unsafe { MmioTransport::new(slot.cast(), boot::MMIO_STEP) }.ok();
    let card = slots().filter_map(transport).find(|device| device.device_type() == DeviceType::Network)?;
    VirtIONet::<Machine, _, { echo::QUEUE_SIZE }>::new(card, BUFFER).ok()
}

/// The PCI transport of virtio-drivers.
#[cfg(feature = "pci")]
pub fn find() -> Option<impl echo::Card> {
    use virtio_drivers::transport::DeviceType;
    use virtio_drivers::transport::pci::bus::{BarInfo, Cam, Command, MemoryBarType, MmioCam, PciRoot};
    use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
    use virtio_net_c::VirtIONet;

    crate::memory::init();
    let ecam = NonNull::new(boot::PCI as *mut u8)?;
    // SAFETY: the board has the configuration space of bus 0 there.
    let mut root = PciRoot::new(unsafe { MmioCam::new(ecam.as_ptr(), Cam::Ecam) });
    let is_card = |info: &_| virtio_device_type(info) == Some(DeviceType::Network);
    let (function, _) = root.enumerate_bus(0).find(|(_, info)| is_card(info))?;
    let mut free = boot::PCI_WINDOW;
    for (index, bar) in root.bars(function).ok()?.into_iter().enumerate() {
        // Without firmware nobody has placed the registers yet.
        let Some(BarInfo::Memory { address_type, size, .. }) = bar else { continue };
        if boot::PCI_WINDOW == 0 || size == 0 {
            continue;
        }
        let place = free.next_multiple_of(size as u32);
        free = place + size as u32;
        match address_type {
            MemoryBarType::Width64 => root.set_bar_64(function, index as u8, u64::from(place)),
            _ => root.set_bar_32(function, index as u8, place),
        }
    }
    root.set_command(function, Command::MEMORY_SPACE | Command::BUS_MASTER);
    let card = PciTransport::new::<Machine, _>(&mut root, function).ok()?;
    VirtIONet::<Machine, _, { echo::QUEUE_SIZE }>::new(card, BUFFER).ok()
}
