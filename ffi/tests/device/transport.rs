//! The way to the card's registers: `Transport` of virtio-drivers.

use crate::device::card::Card;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A transport that notices when it is reached through an address that it has been moved away from: it counts its calls, and the
/// card counts them too.
///
/// `M` makes it `Send` and `Sync` or not.
pub struct FakeTransport<M = ()> {
    card: Arc<Card>,
    calls: AtomicU32,
    marker: PhantomData<M>,
}

impl FakeTransport {
    pub fn new(card: &Arc<Card>) -> Self {
        let card = Arc::clone(card);
        let calls = AtomicU32::new(card.register_calls.load(Ordering::Relaxed));
        Self { card, calls, marker: PhantomData }
    }
}

impl<M> FakeTransport<M> {
    fn count(&self) -> &Card {
        let mine = self.calls.fetch_add(1, Ordering::Relaxed);
        let all = self.card.register_calls.fetch_add(1, Ordering::Relaxed);
        if mine != all {
            self.card.machine().fault(format!("call {all} reached a transport that knows of {mine}"));
        }
        &self.card
    }
}

impl<M> Drop for FakeTransport<M> {
    fn drop(&mut self) {
        self.count();
        self.card.transport_dropped();
    }
}

impl<M> Transport for FakeTransport<M> {
    fn device_type(&self) -> DeviceType {
        self.count();
        DeviceType::Network
    }

    fn read_device_features(&mut self) -> u64 {
        self.count().device_features()
    }

    fn write_driver_features(&mut self, features: u64) {
        self.count().write_driver_features(features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.count().max_queue_size(queue)
    }

    fn notify(&mut self, queue: u16) {
        self.count().notify(queue);
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(self.count().status())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.count().set_status(status.bits());
    }

    fn set_guest_page_size(&mut self, bytes: u32) {
        self.count().set_guest_page_size(bytes);
    }

    /// As the trait has it, and counted.
    fn finish_init(&mut self) {
        self.card.finish_init_calls.fetch_add(1, Ordering::Relaxed);
        let done =
            DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK | DeviceStatus::DRIVER_OK;
        self.set_status(done);
    }

    fn requires_legacy_layout(&self) -> bool {
        self.count().is_legacy()
    }

    fn queue_set(&mut self, queue: u16, size: u32, table: PhysAddr, avail: PhysAddr, used: PhysAddr) {
        self.count().queue_set(queue, size, [table, avail, used]);
    }

    fn queue_unset(&mut self, _: u16) {
        self.count().machine().fault("queue_unset, which may wait for ever, was called");
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.count().queue_used(queue)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::from_bits_retain(self.count().ack_interrupt())
    }

    fn read_config_generation(&self) -> u32 {
        self.count();
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let space = self.count().config_space();
        let field = space.get(offset..offset + size_of::<T>()).ok_or(Error::ConfigSpaceTooSmall)?;
        T::read_from_bytes(field).map_err(|_| Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<()> {
        self.count().machine().fault("the configuration space was written");
        Ok(())
    }
}
