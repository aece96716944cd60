//! The memory of a test, and the `Hal` over it.
//!
//! Every block given out is remembered until it is given back with the same addresses and the same size, and is poisoned then.
//! The device may reach living blocks only. Device addresses differ from pointers: each machine has 4 GiB of them to itself, so
//! that an address tells its machine on whichever thread it comes back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// Half of the pages are for DMA memory, half for what is shared.
const PAGES: usize = 4096;
const DMA_PAGES: usize = PAGES / 2;
/// Where a shared buffer begins in its pages: as odd as addresses of heap memory are.
const SHARED_OFFSET: usize = 0x32;
/// What memory that belongs to nobody holds.
const POISON: u8 = 0xdb;

static MACHINES: Mutex<BTreeMap<u64, Arc<Machine>>> = Mutex::new(BTreeMap::new());
static NEXT_BASE: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static PLUGGED: RefCell<Option<Arc<Machine>>> = const { RefCell::new(None) };
}

/// What a living block is.
#[derive(Clone, Copy, Debug)]
enum Use {
    Dma(BufferDirection),
    /// The copy of a buffer, whose own address this is.
    Shared(usize, BufferDirection),
}

#[derive(Clone, Copy, Debug)]
struct Block {
    bytes: usize,
    pages: usize,
    what: Use,
}

#[derive(Default)]
struct State {
    taken: Vec<bool>,
    next: [usize; 2],
    live: BTreeMap<u64, Block>,
    faults: Vec<String>,
    may_leak: bool,
}

/// How often each function of the `Hal` was called.
#[derive(Default)]
pub struct Calls {
    pub alloc: AtomicUsize,
    pub dealloc: AtomicUsize,
    pub share: AtomicUsize,
    pub unshare: AtomicUsize,
}

pub struct Machine {
    memory: GuestMemoryMmap<()>,
    base: u64,
    state: Mutex<State>,
    pub calls: Calls,
    /// Allocations that succeed from now on.
    pub alloc_budget: AtomicUsize,
    /// The most pages that one allocation gets.
    pub longest_run: AtomicUsize,
}

/// Keeps a machine as the one of this thread. When it goes, the machine's books must balance.
pub struct Plug(Arc<Machine>);

impl Deref for Plug {
    type Target = Arc<Machine>;

    fn deref(&self) -> &Arc<Machine> {
        &self.0
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        PLUGGED.with_borrow_mut(Option::take);
        lock(&MACHINES).remove(&(self.base >> 32));
        if std::thread::panicking() {
            return;
        }
        let state = lock(&self.state);
        assert!(state.faults.is_empty(), "the driver broke rules: {:#?}", state.faults);
        assert!(state.may_leak || state.live.is_empty(), "memory that was not given back: {:#x?}", state.live);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    /// A new machine, whose memory the `Hal` takes on this thread from now on.
    pub fn plug() -> Plug {
        let base = NEXT_BASE.fetch_add(1, Ordering::Relaxed) << 32;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(base), PAGES * PAGE_SIZE)]).unwrap();
        let machine = Arc::new(Self {
            memory,
            base,
            state: Mutex::new(State { taken: vec![false; PAGES], next: [0, DMA_PAGES], ..State::default() }),
            calls: Calls::default(),
            alloc_budget: AtomicUsize::new(usize::MAX),
            longest_run: AtomicUsize::new(usize::MAX),
        });
        lock(&MACHINES).insert(base >> 32, Arc::clone(&machine));
        PLUGGED.set(Some(Arc::clone(&machine)));
        Plug(machine)
    }

    /// Lets the `Hal` of this thread take memory from this machine.
    pub fn select(self: &Arc<Self>) {
        PLUGGED.set(Some(Arc::clone(self)));
    }

    pub fn memory(&self) -> &GuestMemoryMmap<()> {
        &self.memory
    }

    /// Writes down what the driver did against the rules.
    pub fn fault(&self, what: impl Into<String>) {
        lock(&self.state).faults.push(what.into());
    }

    /// The faults so far, which are forgotten.
    pub fn take_faults(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).faults)
    }

    /// Memory may stay with the driver, because the device may still write it.
    pub fn expect_leak(&self) {
        lock(&self.state).may_leak = true;
    }

    /// Pages of DMA memory, and buffers shared, that were not given back yet.
    pub fn live(&self) -> (usize, usize) {
        let state = lock(&self.state);
        let pages = state.live.values().filter(|block| matches!(block.what, Use::Dma(_))).map(|block| block.pages);
        let shared = state.live.values().filter(|block| matches!(block.what, Use::Shared(..)));
        (pages.sum(), shared.count())
    }

    /// Whether a block that begins here was not given back yet.
    pub fn is_live(&self, address: u64) -> bool {
        lock(&self.state).live.contains_key(&address)
    }

    /// Checks that the device may reach these bytes, which are within one block.
    pub fn check_access(&self, address: u64, bytes: usize, writes: bool) -> bool {
        let mut state = lock(&self.state);
        let block = state.live.range(..=address).next_back().map(|(start, block)| (*start, *block));
        let found = block.filter(|(start, block)| address + bytes as u64 <= start + block.bytes as u64);
        let allowed = match found.map(|(_, block)| block.what) {
            None => false,
            Some(Use::Dma(direction) | Use::Shared(_, direction)) => match direction {
                BufferDirection::Both => true,
                BufferDirection::DriverToDevice => !writes,
                BufferDirection::DeviceToDriver => writes,
            },
        };
        if !allowed {
            let act = if writes { "write" } else { "read" };
            state.faults.push(format!("the device shall {act} {bytes} bytes at {address:#x}: {found:x?}"));
        }
        allowed
    }

    fn of_address(address: u64) -> Arc<Self> {
        let machines = lock(&MACHINES);
        let Some(machine) = machines.get(&(address >> 32)) else {
            panic!("no machine has the address {address:#x}");
        };
        Arc::clone(machine)
    }

    fn plugged() -> Arc<Self> {
        let plugged = PLUGGED.with_borrow(Option::clone);
        plugged.unwrap_or_else(|| panic!("no machine is plugged into this thread"))
    }

    fn pointer(&self, address: u64) -> NonNull<u8> {
        NonNull::new(self.memory.get_host_address(GuestAddress(address)).unwrap()).unwrap()
    }

    /// Takes pages, later ones first so that what was given back is not reused at once. One page stays free behind each block.
    fn take(&self, bytes: usize, offset: usize, what: Use) -> Option<u64> {
        let mut state = lock(&self.state);
        let pages = (offset + bytes).div_ceil(PAGE_SIZE);
        let area = usize::from(matches!(what, Use::Shared(..)));
        let (low, high) = if area == 0 { (0, DMA_PAGES) } else { (DMA_PAGES, PAGES) };
        let fits = |state: &State, page: usize| {
            page + pages < high && state.taken[page..=page + pages].iter().all(|taken| !taken)
        };
        let page = (state.next[area]..high).chain(low..state.next[area]).find(|page| fits(&state, *page))?;
        state.next[area] = page + pages + 1;
        state.taken[page..page + pages].fill(true);
        let address = self.base + (page * PAGE_SIZE + offset) as u64;
        state.live.insert(address, Block { bytes, pages, what });
        Some(address)
    }

    fn give_back(&self, address: u64, is_what: impl FnOnce(&Block) -> bool, call: &str) {
        let mut state = lock(&self.state);
        match state.live.get(&address).copied() {
            Some(block) if is_what(&block) => {
                state.live.remove(&address);
                let first = (address - self.base) as usize / PAGE_SIZE;
                state.taken[first..first + block.pages].fill(false);
                let start = GuestAddress(address / PAGE_SIZE as u64 * PAGE_SIZE as u64);
                self.memory.write_slice(&vec![POISON; block.pages * PAGE_SIZE], start).unwrap();
            }
            found => state.faults.push(format!("{call} does not match what was given: {found:x?}")),
        }
    }

    fn is_mine(&self, pointer: usize) -> bool {
        let start = self.pointer(self.base).as_ptr() as usize;
        (start..start + PAGES * PAGE_SIZE).contains(&pointer)
    }
}

/// The `Hal` over the machine that is plugged into the calling thread. What comes back finds its machine by its address.
pub struct TestHal;

// SAFETY: `dma_alloc` returns pages of a mapping that lives as long as the machine, zeroed, and gives none out twice.
unsafe impl Hal for TestHal {
    fn dma_alloc(pages: usize, direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let machine = Machine::plugged();
        machine.calls.alloc.fetch_add(1, Ordering::Relaxed);
        let budget = machine.alloc_budget.load(Ordering::Relaxed);
        if pages == 0 || budget == 0 || pages > machine.longest_run.load(Ordering::Relaxed) {
            return (0, NonNull::dangling());
        }
        machine.alloc_budget.store(budget - 1, Ordering::Relaxed);
        let Some(address) = machine.take(pages * PAGE_SIZE, 0, Use::Dma(direction)) else {
            return (0, NonNull::dangling());
        };
        machine.memory.write_slice(&vec![0; pages * PAGE_SIZE], GuestAddress(address)).unwrap();
        (address, machine.pointer(address))
    }

    unsafe fn dma_dealloc(address: PhysAddr, pointer: NonNull<u8>, pages: usize) -> i32 {
        let machine = Machine::of_address(address);
        machine.calls.dealloc.fetch_add(1, Ordering::Relaxed);
        let same = |block: &Block| {
            matches!(block.what, Use::Dma(_)) && block.pages == pages && pointer == machine.pointer(address)
        };
        machine.give_back(address, same, &format!("dma_dealloc({address:#x}, {pointer:?}, {pages})"));
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::dangling()
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let machine = Machine::plugged();
        machine.calls.share.fetch_add(1, Ordering::Relaxed);
        let pointer = buffer.cast::<u8>().as_ptr() as usize;
        if machine.is_mine(pointer) {
            machine.fault("DMA memory was shared");
        }
        let address = machine.take(buffer.len(), SHARED_OFFSET, Use::Shared(pointer, direction)).unwrap();
        // SAFETY: the caller vouches for the buffer, and nobody writes it meanwhile.
        let bytes = unsafe { buffer.as_ref() };
        machine.memory.write_slice(bytes, GuestAddress(address)).unwrap();
        address
    }

    unsafe fn unshare(address: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        let machine = Machine::of_address(address);
        machine.calls.unshare.fetch_add(1, Ordering::Relaxed);
        let pointer = buffer.cast::<u8>().as_ptr() as usize;
        if direction != BufferDirection::DriverToDevice {
            let mut copy = vec![0; buffer.len()];
            machine.memory.read_slice(&mut copy, GuestAddress(address)).unwrap();
            // SAFETY: the caller vouches for the buffer, which is the device's to write.
            unsafe {
                buffer.cast::<u8>().copy_from_nonoverlapping(NonNull::from(&mut copy[..]).cast(), copy.len())
            };
        }
        let same = |block: &Block| {
            block.bytes == buffer.len()
                && matches!(block.what, Use::Shared(own, how) if own == pointer && how == direction)
        };
        machine.give_back(address, same, &format!("unshare({address:#x}, {buffer:?}, {direction:?})"));
    }
}
