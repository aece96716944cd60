//! The `Hal` and the `Transport` that the Rust drivers get: what the rings look like from outside, and a tally of calls.

use crate::machine::now_ns;
use crate::meter;
use crate::run::Report;
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr, Result};
use virtio_net_c::Statistics;

/// What was called how often; only the build with the feature `tally` counts.
pub struct Tally {
    pub shares: AtomicU64,
    pub unshares: AtomicU64,
    pub allocations: AtomicU64,
    pub kicks: [AtomicU64; 2],
}

pub static TALLY: Tally = Tally {
    shares: AtomicU64::new(0),
    unshares: AtomicU64::new(0),
    allocations: AtomicU64::new(0),
    kicks: [AtomicU64::new(0), AtomicU64::new(0)],
};

#[inline(always)]
pub fn tally(counter: &AtomicU64) {
    if cfg!(feature = "tally") {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// Shares, unshares, allocations.
pub fn tallied() -> [u64; 3] {
    [&TALLY.shares, &TALLY.unshares, &TALLY.allocations].map(|counter| counter.load(Ordering::Relaxed))
}

/// What the driver's statistics say.
pub fn report(statistics: &Statistics, transmit: bool) -> Report {
    if transmit {
        // The drop-in takes its last frames back with the next ones.
        Report { kicks: statistics.tx_kicks, rekicks: statistics.tx_rekicks, frames: statistics.tx_frames, bad: 0 }
    } else {
        Report { kicks: statistics.rx_kicks, rekicks: statistics.rx_rekicks, frames: statistics.rx_frames, bad: 0 }
    }
}

/// Notifications of a queue.
pub fn kicks(transmit: bool) -> u64 {
    TALLY.kicks[usize::from(transmit)].load(Ordering::Relaxed)
}

/// All of RAM is mapped one to one, and devices are coherent with the caches: sharing costs nothing.
pub struct IdentityHal;

fn layout(pages: usize) -> Layout {
    Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).unwrap_or(Layout::new::<u8>())
}

// SAFETY: `dma_alloc` gives zeroed pages of the heap that nobody else has; every address is mapped.
unsafe impl Hal for IdentityHal {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: the layout's size is not 0.
        match NonNull::new(unsafe { alloc_zeroed(layout(pages)) }) {
            Some(pointer) => (pointer.as_ptr() as PhysAddr, pointer),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, pointer: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: by the trait's contract the pointer came from `dma_alloc` with as many pages.
        unsafe { dealloc(pointer.as_ptr(), layout(pages)) };
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).unwrap_or(NonNull::dangling())
    }

    #[inline]
    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        tally(&TALLY.shares);
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    #[inline]
    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {
        tally(&TALLY.unshares);
    }
}

/// Where a queue's indices lie.
struct Indices {
    avail: AtomicPtr<u16>,
    used: AtomicPtr<u16>,
}

static QUEUES: [Indices; 2] = [
    Indices { avail: AtomicPtr::new(ptr::null_mut()), used: AtomicPtr::new(ptr::null_mut()) },
    Indices { avail: AtomicPtr::new(ptr::null_mut()), used: AtomicPtr::new(ptr::null_mut()) },
];

/// Whether a driver that notifies waits for its frame right away: then that wait is made here, where it is not counted.
static BLOCKING: AtomicBool = AtomicBool::new(false);

pub fn set_blocking(blocking: bool) {
    BLOCKING.store(blocking, Ordering::Relaxed);
}

fn index(pointer: &AtomicPtr<u16>) -> u16 {
    // SAFETY: a queue's areas live as long as its driver, and are looked at only then. The index is behind the flags.
    unsafe { pointer.load(Ordering::Relaxed).add(1).read_volatile() }
}

/// `used.idx` of the receive queue.
pub fn received() -> u16 {
    index(&QUEUES[0].used)
}

/// What the device has not used of the transmit queue.
pub fn in_flight() -> u16 {
    index(&QUEUES[1].avail).wrapping_sub(index(&QUEUES[1].used))
}

/// Notifies the device though the driver did not.
pub fn nudge(card: *mut u32) {
    const QUEUE_NOTIFY: usize = 0x50 / 4;
    // SAFETY: the registers are the card's.
    unsafe {
        card.add(QUEUE_NOTIFY).write_volatile(0);
        card.add(QUEUE_NOTIFY).write_volatile(1);
    }
}

#[cold]
#[inline(never)]
fn wait_for_device() {
    const LIMIT_NS: u64 = 1_000_000_000;
    let limit = now_ns() + LIMIT_NS;
    while in_flight() != 0 && now_ns() < limit {}
}

/// virtio-drivers' MMIO transport, which tells where the queues lie.
pub struct Spy(MmioTransport<'static>);

impl Spy {
    /// The card's transport.
    pub fn new(card: *mut u32) -> Option<Self> {
        let header = NonNull::new(card.cast::<VirtIOHeader>())?;
        // SAFETY: the registers are mapped for good.
        unsafe { MmioTransport::new(header, 0x200) }.ok().map(Self)
    }
}

impl Transport for Spy {
    fn device_type(&self) -> DeviceType {
        self.0.device_type()
    }

    fn read_device_features(&mut self) -> u64 {
        self.0.read_device_features()
    }

    fn write_driver_features(&mut self, features: u64) {
        self.0.write_driver_features(features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.0.max_queue_size(queue)
    }

    #[inline]
    fn notify(&mut self, queue: u16) {
        self.0.notify(queue);
        if cfg!(feature = "tally") {
            TALLY.kicks.get(usize::from(queue)).into_iter().for_each(tally);
        }
        if BLOCKING.load(Ordering::Relaxed) && queue == 1 {
            meter::exclude(wait_for_device);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        self.0.get_status()
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.0.set_status(status);
    }

    fn set_guest_page_size(&mut self, bytes: u32) {
        self.0.set_guest_page_size(bytes);
    }

    fn requires_legacy_layout(&self) -> bool {
        self.0.requires_legacy_layout()
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        if let Some(indices) = QUEUES.get(usize::from(queue)) {
            indices.avail.store(driver_area as *mut u16, Ordering::Relaxed);
            indices.used.store(device_area as *mut u16, Ordering::Relaxed);
        }
        self.0.queue_set(queue, size, descriptors, driver_area, device_area);
    }

    fn queue_unset(&mut self, queue: u16) {
        self.0.queue_unset(queue);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.0.queue_used(queue)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        self.0.ack_interrupt()
    }

    fn read_config_generation(&self) -> u32 {
        self.0.read_config_generation()
    }

    fn read_config_space<V: zerocopy::FromBytes + zerocopy::IntoBytes>(&self, offset: usize) -> Result<V> {
        self.0.read_config_space(offset)
    }

    fn write_config_space<V: zerocopy::IntoBytes + zerocopy::Immutable>(
        &mut self,
        offset: usize,
        value: V,
    ) -> Result<()> {
        self.0.write_config_space(offset, value)
    }
}
