//! The C interface and the floor, as `c/users.c` uses them.

use crate::case::Case;
use crate::run::{self, Path, Report};
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::boxed::Box;
use core::ffi::c_void;
use core::ptr;
use virtio_net_c::sys::*;

const BURST: usize = 256;
const STRIDE: usize = 2048;

/// `struct bench_api` and `struct floor_api`, of which only the addresses are used.
#[repr(C)]
struct Table {
    opaque: [u8; 0],
}

/// `struct floor`.
#[repr(C)]
struct Floor {
    opaque: [u8; 0],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct FloorFrame {
    data: *mut u8,
    length: u32,
    slot: u32,
}

/// `struct bench_user`.
#[repr(C)]
struct User {
    net: *mut virtio_net,
    floor: *mut Floor,
    api: *const Table,
    floor_api: *const Table,
    memory: *mut u8,
    length: u32,
    bad: u32,
    packets: [virtio_net_packet; BURST],
    frames: [FloorFrame; BURST],
}

type Burst = unsafe extern "C" fn(*mut User, u32, u32) -> u32;

unsafe extern "C" {
    static bench_driver: Table;
    static bench_empty: Table;
    static bench_floor: Table;
    static bench_empty_floor: Table;

    fn bench_send(user: *mut User, first: u32, count: u32) -> u32;
    fn bench_send_in_place(user: *mut User, first: u32, count: u32) -> u32;
    fn bench_post(user: *mut User, first: u32, count: u32) -> u32;
    fn bench_reap(user: *mut User);
    fn bench_reap_posted(user: *mut User, count: u32);
    fn bench_receive(user: *mut User, first: u32, count: u32) -> u32;
    fn bench_receive_in_place(user: *mut User, first: u32, count: u32) -> u32;

    fn bench_floor_send(user: *mut User, first: u32, count: u32) -> u32;
    fn bench_floor_send_in_place(user: *mut User, first: u32, count: u32) -> u32;
    fn bench_floor_reap(user: *mut User);
    fn bench_floor_receive(user: *mut User, first: u32, count: u32) -> u32;
    fn bench_floor_receive_in_place(user: *mut User, first: u32, count: u32) -> u32;

    fn bench_floor_init(floor: *mut Floor, registers: *mut u32, size: u32, memory: *mut u8);
    fn bench_floor_close(floor: *mut Floor);
    fn bench_floor_ready(floor: *const Floor) -> u32;
    fn bench_floor_in_flight(floor: *const Floor) -> u32;
    fn bench_floor_room(floor: *const Floor) -> u32;
    fn bench_floor_nudge(floor: *mut Floor);
    fn bench_floor_kicks(floor: *const Floor, queue: u32) -> u64;
}

/// The functions of `c/users.c` that a path uses.
#[derive(Clone, Copy)]
struct Ways {
    post: Burst,
    take: Burst,
    reap: Option<unsafe extern "C" fn(*mut User)>,
    floor: bool,
}

fn ways(path: &str) -> Option<Ways> {
    let ways = |post, take| Ways { post, take, reap: Some(bench_reap), floor: false };
    let floor = |post, take| Ways { post, take, reap: Some(bench_floor_reap), floor: true };
    Some(match path {
        "c-copy" => ways(bench_send, bench_receive),
        "c-place" => ways(bench_send_in_place, bench_receive_in_place),
        "c-post" => Ways { reap: None, ..ways(bench_post, bench_receive_in_place) },
        "floor-copy" => floor(bench_floor_send, bench_floor_receive),
        "floor-place" => floor(bench_floor_send_in_place, bench_floor_receive_in_place),
        _ => return None,
    })
}

struct CPath {
    user: Box<User>,
    /// What the user's frames lie in.
    _memory: Pages,
    ways: Ways,
    transmit: bool,
}

impl CPath {
    fn new(case: &Case<'_>, ways: Ways, net: *mut virtio_net, floor: *mut Floor, empty: bool) -> Self {
        let (api, floor_api) = if empty {
            (&raw const bench_empty, &raw const bench_empty_floor)
        } else {
            (&raw const bench_driver, &raw const bench_floor)
        };
        let pages = Pages::new((BURST + 1) * STRIDE, STRIDE);
        let memory = pages.0.wrapping_add(case.offset as usize + 64);
        let frame = FloorFrame { data: memory, length: 0, slot: 0 };
        let packet = virtio_net_packet { data: memory, ..Default::default() };
        let mut user = Box::new(User {
            net,
            floor,
            api,
            floor_api,
            memory,
            length: case.length,
            bad: 0,
            packets: [packet; BURST],
            frames: [frame; BURST],
        });
        for index in 0..BURST {
            user.packets[index].data = memory.wrapping_add(index * STRIDE);
            user.frames[index].data = memory.wrapping_add(index * STRIDE);
        }
        Self { user, _memory: pages, ways, transmit: case.transmit }
    }
}

// SAFETY, for each block: the user holds what `c/users.c` expects, with memory for every frame, and the bursts are within its
// arrays.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Path for CPath {
    fn post(&mut self, first: u32, count: u32) -> u32 {
        unsafe { (self.ways.post)(&mut *self.user, first, count) }
    }

    fn room(&mut self) -> u32 {
        if self.ways.floor { unsafe { bench_floor_room(self.user.floor) } } else { u32::MAX }
    }

    fn reap(&mut self, limit: u32) {
        match self.ways.reap {
            Some(reap) => unsafe { reap(&mut *self.user) },
            None => unsafe { bench_reap_posted(&mut *self.user, limit.min(BURST as u32)) },
        }
    }

    fn in_flight(&mut self) -> u32 {
        if self.ways.floor {
            unsafe { bench_floor_in_flight(self.user.floor) }
        } else {
            unsafe { virtio_net_tx_in_flight(self.user.net, 0) as u32 }
        }
    }

    fn take(&mut self, first: u32, count: u32) -> u32 {
        unsafe { (self.ways.take)(&mut *self.user, first, count) }
    }

    fn ready(&mut self) -> u32 {
        if self.ways.floor {
            unsafe { bench_floor_ready(self.user.floor) }
        } else {
            unsafe { virtio_net_rx_ready(self.user.net, 0) as u32 }
        }
    }

    fn nudge(&mut self) {
        if self.ways.floor {
            unsafe { bench_floor_nudge(self.user.floor) };
        } else {
            // What a caller does that has nothing else to do; both repeat a notification that got lost.
            unsafe {
                virtio_net_tx_reap(self.user.net, 0, 0, ptr::null_mut(), 0);
                virtio_net_receive_burst(self.user.net, 0, 0, self.user.packets.as_mut_ptr(), 0);
            }
        }
    }

    fn enable_interrupts(&mut self) {
        unsafe { virtio_net_irq_enable(self.user.net, 0, VIRTIO_NET_IRQ_RX, 0) };
    }

    fn acknowledge(&mut self) {
        unsafe { virtio_net_irq_ack(self.user.net, 0) };
    }

    fn report(&mut self) -> Report {
        let bad = self.user.bad;
        if self.ways.floor {
            let kicks = unsafe { bench_floor_kicks(self.user.floor, self.transmit.into()) };
            return Report { kicks, bad, ..Report::default() };
        }
        let size = size_of::<virtio_net_statistics>() as u32;
        let mut statistics = virtio_net_statistics { size, ..Default::default() };
        unsafe { virtio_net_get_statistics(self.user.net, &mut statistics) };
        if self.transmit {
            // Sent and completed must be the same.
            let lost = statistics.tx_frames - statistics.tx_completed;
            Report {
                kicks: statistics.tx_kicks,
                rekicks: statistics.tx_rekicks,
                frames: statistics.tx_frames - lost,
                bad,
            }
        } else {
            Report { kicks: statistics.rx_kicks, rekicks: statistics.rx_rekicks, frames: statistics.rx_frames, bad }
        }
    }
}

/// Zeroed memory, given back at the end.
struct Pages(*mut u8, Layout);

impl Pages {
    fn new(bytes: usize, alignment: usize) -> Self {
        let layout = Layout::from_size_align(bytes, alignment).unwrap_or(Layout::new::<u64>());
        // SAFETY: the size is not 0.
        Self(unsafe { alloc_zeroed(layout) }, layout)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it was allocated so.
            unsafe { dealloc(self.0, self.1) };
        }
    }
}

/// Zeroed memory.
fn pages(bytes: usize, alignment: usize) -> *mut u8 {
    match Layout::from_size_align(bytes, alignment) {
        // SAFETY: the size is not 0.
        Ok(layout) => unsafe { alloc_zeroed(layout) },
        Err(_) => ptr::null_mut(),
    }
}

unsafe extern "C" fn dma_alloc(
    _: *mut c_void,
    bytes: u32,
    alignment: u32,
    _: u32,
    _: u32,
    memory: *mut virtio_net_dma,
) -> i32 {
    let address = pages(bytes as usize, alignment as usize);
    if address.is_null() {
        return -1;
    }
    // SAFETY: by the table's contract the pointer is for the answer.
    unsafe { *memory = virtio_net_dma { address: address.cast(), device_address: address as u64 } };
    0
}

unsafe extern "C" fn dma_free(_: *mut c_void, memory: *const virtio_net_dma, bytes: u32, _: u32, _: u32) {
    if let Ok(layout) = Layout::from_size_align(bytes as usize, 4096) {
        // SAFETY: by the table's contract the memory is from `dma_alloc`.
        unsafe { dealloc((*memory).address.cast(), layout) };
    }
}

static PLATFORM: virtio_net_platform = virtio_net_platform {
    size: size_of::<virtio_net_platform>() as u32,
    flags: 0,
    dma_alloc: Some(dma_alloc),
    dma_free: Some(dma_free),
    share: None,
    unshare: None,
    sync_for_device: None,
    sync_for_cpu: None,
    now_us: None,
    relax: None,
    random: None,
    log: None,
};

/// Runs the case where it is one of these paths.
pub fn run(case: &Case<'_>, card: *mut u32) -> Option<()> {
    let ways = ways(case.path)?;
    if ways.floor {
        let buffers = 16384 + case.queue as usize * STRIDE;
        let (storage, memory) = (Pages::new(4096, 4096), Pages::new(2 * buffers, 8192));
        let floor = storage.0.cast::<Floor>();
        // SAFETY: the memory is of the sizes that `c/floor.c` names, and the registers are the card's.
        unsafe { bench_floor_init(floor, card, case.queue, memory.0) };
        with(case, ways, ptr::null_mut(), floor);
        // SAFETY: it was set up.
        unsafe { bench_floor_close(floor) };
    } else {
        let bytes = VIRTIO_NET_STORAGE_FIXED + VIRTIO_NET_STORAGE_PER_SLOT * 2 * case.queue;
        let storage = Pages::new(bytes as usize, 64);
        let net = storage.0.cast::<virtio_net>();
        let options = virtio_net_options {
            size: size_of::<virtio_net_options>() as u32,
            tx_slots: case.queue,
            rx_slots: case.queue,
            ..Default::default()
        };
        // SAFETY: storage and tables are as the interface wants them, and the registers are the card's.
        let code = unsafe {
            virtio_net_init_mmio_versioned(
                VIRTIO_NET_ABI_VERSION,
                net,
                bytes.into(),
                card.cast(),
                &PLATFORM,
                ptr::null_mut(),
                &options,
            )
        };
        if code < 0 {
            return None;
        }
        with(case, ways, net, ptr::null_mut());
        // SAFETY: it was set up.
        unsafe { virtio_net_close(net) };
    }
    Some(())
}

fn with(case: &Case<'_>, ways: Ways, net: *mut virtio_net, floor: *mut Floor) {
    let mut path = CPath::new(case, ways, net, floor, false);
    let mut empty = CPath::new(case, ways, net, floor, true);
    run::compare(case, &mut path, &mut empty);
}
