//! A network card that needs hardly any stack: its registers are cells, and its memory and the heap only count what is given
//! back.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering, fence};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Error, Hal, PAGE_SIZE, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Enough for all tests of this binary.
const HEAP: usize = 256 << 20;

/// What a thread has of the heap, and of the `Hal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Has {
    pub blocks: usize,
    pub bytes: usize,
    pub pages: usize,
}

thread_local! {
    static HAS: Cell<Has> = const { Cell::new(Has { blocks: 0, bytes: 0, pages: 0 }) };
    /// So many blocks the heap has, and no more.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    /// The longest run of pages that the `Hal` has.
    static RUN: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// What this thread has.
pub fn has() -> Has {
    HAS.get()
}

/// Runs `act` with so many blocks left on the heap.
pub fn with_blocks<R>(blocks: usize, act: impl FnOnce() -> R) -> R {
    LEFT.set(blocks);
    let result = act();
    LEFT.set(usize::MAX);
    result
}

/// From now on the `Hal` has no more pages in one piece.
pub fn limit_runs(pages: usize) {
    RUN.set(pages);
}

/// Hands out zeroed memory, and takes none back.
struct Heap {
    memory: std::cell::UnsafeCell<[u128; HEAP / 16]>,
    used: AtomicUsize,
}

// SAFETY: each byte of the memory is given out once.
unsafe impl Sync for Heap {}

impl Heap {
    fn take(&self, size: usize, align: usize) -> *mut u8 {
        let base = self.memory.get().cast::<u8>();
        let room = self.used.fetch_add(size + align, Ordering::Relaxed);
        if room + size + align > HEAP {
            return std::ptr::null_mut();
        }
        // SAFETY: there is room for the bytes and for what aligns them.
        unsafe { base.add(room + (base.addr() + room).wrapping_neg() % align) }
    }
}

// SAFETY: `take` returns memory of the layout's size and alignment that nobody else has.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counters any more.
        let left = LEFT.try_with(|left| left.replace(left.get().saturating_sub(1)));
        if left == Ok(0) {
            return std::ptr::null_mut();
        }
        count(1, layout.size() as isize, 0);
        self.take(layout.size(), layout.align())
    }

    unsafe fn dealloc(&self, _: *mut u8, layout: Layout) {
        count(-1, -(layout.size() as isize), 0);
    }
}

fn count(blocks: isize, bytes: isize, pages: isize) {
    let _ = HAS.try_with(|has| {
        let Has { blocks: some, bytes: many, pages: more } = has.get();
        has.set(Has {
            blocks: some.wrapping_add_signed(blocks),
            bytes: many.wrapping_add_signed(bytes),
            pages: more.wrapping_add_signed(pages),
        });
    });
}

#[global_allocator]
static MEMORY: Heap = Heap { memory: std::cell::UnsafeCell::new([0; HEAP / 16]), used: AtomicUsize::new(0) };

/// Device addresses are pointers.
pub struct TinyHal;

// SAFETY: `dma_alloc` returns zeroed pages that nobody else has.
unsafe impl Hal for TinyHal {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        if pages > RUN.get() {
            return (0, NonNull::dangling());
        }
        count(0, 0, pages as isize);
        let memory = MEMORY.take(pages * PAGE_SIZE, PAGE_SIZE);
        (memory.expose_provenance() as PhysAddr, NonNull::new(memory).unwrap())
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, pages: usize) -> i32 {
        count(0, 0, -(pages as isize));
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::dangling()
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr().expose_provenance() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// The rings of a queue, where virtio 1.2, 2.7 puts the fields.
#[derive(Clone, Copy)]
struct Queue {
    size: u16,
    descriptors: *const u8,
    avail: *const AtomicU16,
    used: *mut AtomicU16,
}

/// The card. It completes what it was given when it is notified, and fills a receive buffer at [`Card::deliver`].
pub struct Card {
    /// Entries of a queue at most.
    pub longest: Cell<u32>,
    status: Cell<u32>,
    queues: [Cell<Queue>; 2],
}

const NONE: Queue =
    Queue { size: 0, descriptors: std::ptr::null(), avail: std::ptr::null(), used: std::ptr::null_mut() };
const RX: usize = 0;
/// VERSION_1, EVENT_IDX, INDIRECT_DESC, STATUS and MAC, as QEMU offers them.
const FEATURES: u64 = 1 << 32 | 1 << 29 | 1 << 28 | 1 << 16 | 1 << 5;
/// Address, and a link that is up.
const CONFIG: [u8; 8] = [0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0];
const HEADER: usize = 12;
pub const FRAME: usize = 60;

impl Card {
    pub fn new() -> Self {
        Self { longest: Cell::new(256), status: Cell::new(0), queues: [const { Cell::new(NONE) }; 2] }
    }

    /// Returns the next buffer of a queue, with `length` bytes written.
    fn complete(queue: Queue, length: u32, fill: impl FnOnce(*mut u8)) -> bool {
        // SAFETY: the driver told these addresses, which hold rings of this size.
        unsafe {
            let (avail, used) = (queue.avail, queue.used);
            let done = (*used.add(1)).load(Ordering::Relaxed);
            if queue.size == 0 || done == (*avail.add(1)).load(Ordering::Acquire) {
                return false;
            }
            let id = (*avail.add(2 + usize::from(done % queue.size))).load(Ordering::Relaxed);
            let address = queue.descriptors.add(16 * usize::from(id)).cast::<u64>().read();
            fill(std::ptr::with_exposed_provenance_mut(address as usize));
            used.add(2 + 4 * usize::from(done % queue.size)).cast::<[u32; 2]>().write([id.into(), length]);
            (*used.add(1)).store(done.wrapping_add(1), Ordering::Release);
            // The event index: to be told of the next one.
            (*used.add(2 + 4 * usize::from(queue.size))).store(done.wrapping_add(1), Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
        true
    }

    /// Whether the driver has started it.
    pub fn is_running(&self) -> bool {
        self.status.get() & DeviceStatus::DRIVER_OK.bits() != 0
    }

    /// Receives a frame.
    pub fn deliver(&self) {
        // SAFETY: receive buffers have room for it.
        let fill = |buffer: *mut u8| unsafe { buffer.write_bytes(0, HEADER + FRAME) };
        assert!(Self::complete(self.queues[RX].get(), (HEADER + FRAME) as u32, fill));
    }
}

/// The way to its registers.
pub struct TinyTransport<'a>(pub &'a Card);

impl Transport for TinyTransport<'_> {
    fn device_type(&self) -> DeviceType {
        DeviceType::Network
    }

    fn read_device_features(&mut self) -> u64 {
        FEATURES
    }

    fn write_driver_features(&mut self, _: u64) {}

    fn max_queue_size(&mut self, _: u16) -> u32 {
        self.0.longest.get()
    }

    fn notify(&mut self, queue: u16) {
        if usize::from(queue) != RX {
            while Card::complete(self.0.queues[usize::from(queue)].get(), 0, |_| ()) {}
        }
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(self.0.status.get())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.0.status.set(status.bits());
        if status.is_empty() {
            self.0.queues.iter().for_each(|queue| queue.set(NONE));
        }
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, table: PhysAddr, avail: PhysAddr, used: PhysAddr) {
        let at = |address: PhysAddr| std::ptr::with_exposed_provenance_mut::<u8>(address as usize);
        let (descriptors, avail, used) = (at(table), at(avail).cast(), at(used).cast());
        self.0.queues[usize::from(queue)].set(Queue { size: size as u16, descriptors, avail, used });
    }

    fn queue_unset(&mut self, _: u16) {}

    fn queue_used(&mut self, _: u16) -> bool {
        false
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let field = CONFIG.get(offset..offset + size_of::<T>()).ok_or(Error::ConfigSpaceTooSmall)?;
        T::read_from_bytes(field).map_err(|_| Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<()> {
        Ok(())
    }
}
