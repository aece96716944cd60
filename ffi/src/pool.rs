//! The receive pool of the drop-in as its lent buffers know it: which of them were dropped, and who is the last to use it.

use super::virtio_drivers::PhysAddr;
use crate::atomics::{AtomicBool, AtomicCount, AtomicU32, Count, Ordering};
use crate::heap::{room, room_for};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ptr::NonNull;

/// `Hal::dma_dealloc`.
pub(crate) type Dealloc = unsafe fn(PhysAddr, NonNull<u8>, usize) -> i32;

/// The driver's own part in the number of users. Buffers change that number by less: those that were lent make it smaller by a
/// slot each, and those on their way out larger by a processor each.
const DRIVER: Count = 1 << (Count::BITS - 2);

/// Lives until the driver and the last buffer are gone.
///
/// A buffer that is recycled touches nothing here. One that is dropped sets its slot's bit, which the driver looks for when
/// it runs dry, and then takes itself off the number of users.
pub(crate) struct Pool {
    /// `DRIVER`, less the buffers that were dropped, plus those of them that the driver has found. At its end the driver takes
    /// its part off and adds the buffers that it lent and neither got back nor found: what is left then is the buffers that are
    /// still somewhere. Each term is a number of slots, however many buffers there were over time, so a word of 32 bits holds it
    /// for ever.
    users: AtomicCount,
    /// Some bit of `returned` is set.
    any_returned: AtomicBool,
    /// A bit for each slot whose buffer was dropped.
    returned: Box<[AtomicU32]>,
    /// DMA memory that goes back to the `Hal` with the last buffer. The driver's end must not need the heap, so there is room
    /// since the memory was asked for: for each block of it. How many that are the `Hal` decides, a block for each slot at most,
    /// but a few slots share one where it has some pages together. A recovery may end with a larger receive pool and without
    /// room for it. Nothing of that pool is lent then, and the device is stopped: until a later recovery has made room, nothing
    /// can be lent, and at the end all of it goes back to the `Hal` at once.
    kept: UnsafeCell<Vec<(PhysAddr, NonNull<u8>, usize)>>,
    dealloc: Dealloc,
}

// A panic in a caller leaves nothing half done: what changes through a shared reference is atomic, or has one user left.
impl core::panic::RefUnwindSafe for Pool {}

impl Pool {
    /// A pool for so many slots, and `dealloc` of the `Hal` that its memory is from. `None` where the heap has no memory for it.
    pub(crate) fn new(slots: usize, dealloc: Dealloc) -> Option<Box<Self>> {
        let mut returned = room_for(slots.div_ceil(32))?;
        for word in &mut returned {
            word.write(AtomicU32::new(0));
        }
        // SAFETY: each was just written.
        let returned = unsafe { returned.assume_init() };
        let mut pool = room()?;
        pool.write(Self {
            users: AtomicCount::new(DRIVER),
            any_returned: AtomicBool::new(false),
            returned,
            kept: UnsafeCell::new(Vec::new()),
            dealloc,
        });
        // SAFETY: it was just written.
        Some(unsafe { pool.assume_init() })
    }

    /// Makes room to [`Pool::keep`] so many blocks of memory. `None` where the heap has no memory for that.
    ///
    /// # Safety
    /// Only the driver calls it, before [`Pool::release_driver`].
    pub(crate) unsafe fn make_room(&self, blocks: usize) -> Option<()> {
        // SAFETY: buffers do not look at it before the driver has released the pool.
        let kept = unsafe { &mut *self.kept.get() };
        kept.try_reserve_exact(blocks).ok()
    }

    /// Takes over memory of the receive pool, to be given back with the last buffer.
    ///
    /// # Safety
    /// Only the driver calls it, before [`Pool::release_driver`]. The memory is `Hal`'s and nobody uses it but lent buffers.
    pub(crate) unsafe fn keep(&self, address: PhysAddr, memory: NonNull<u8>, pages: usize) {
        // SAFETY: buffers do not look at it before the driver has released the pool.
        let kept = unsafe { &mut *self.kept.get() };
        // There is room; knowing it, the compiler leaves out what would make some.
        if kept.len() < kept.capacity() {
            kept.push((address, memory, pages));
        }
    }

    /// Tells the driver that a buffer was dropped. [`Pool::release_buffer`] follows.
    pub(crate) fn give_back(&self, slot: u16) {
        let (word, bit) = (usize::from(slot / 32), 1 << (slot % 32));
        if let Some(word) = self.returned.get(word) {
            // Release: the last reads and writes of the frame come before the driver posts its buffer again. Acquire: the flag
            // below is set after the driver cleared it, if the driver has looked at this word before.
            word.fetch_or(bit, Ordering::AcqRel);
            self.any_returned.store(true, Ordering::Release);
        }
    }

    /// Whether buffers were dropped that the driver has not looked for yet.
    pub(crate) fn any_returned(&self) -> bool {
        self.any_returned.load(Ordering::Relaxed)
    }

    /// Calls `take` with the slot of each buffer that was dropped since the last time. The driver has lent one less for each.
    pub(crate) fn harvest(&self, mut take: impl FnMut(u16)) {
        if !self.any_returned.load(Ordering::Relaxed) {
            return;
        }
        self.any_returned.store(false, Ordering::Relaxed);
        let mut found = 0;
        for (index, word) in (0_u16..).zip(self.returned.iter()) {
            let mut bits = word.swap(0, Ordering::AcqRel);
            found += bits.count_ones() as Count;
            while bits != 0 {
                take(index * 32 + bits.trailing_zeros() as u16);
                bits &= bits - 1;
            }
        }
        // Some of them may not have released the pool yet, and do that later, after the driver's own end even. Relaxed: nobody
        // learns anything from this number, and it does not come between a release and who acquires it.
        self.users.fetch_add(found, Ordering::Relaxed);
    }

    /// Whether each buffer is back that was lent: the `lent` that [`Pool::harvest`] has not found, and those that it has.
    pub(crate) fn is_home(&self, lent: Count) -> bool {
        self.users.load(Ordering::Acquire) == DRIVER - lent
    }

    /// Ends a buffer's part in the pool.
    ///
    /// # Safety
    /// The caller is a buffer that was lent and not recycled, and uses the pool no more.
    pub(crate) unsafe fn release_buffer(pool: NonNull<Self>) {
        // SAFETY: by the caller's promise.
        unsafe { Self::release(pool, -1) };
    }

    /// Ends the driver's part in the pool. `lent` is the buffers that were lent and neither recycled nor found by
    /// [`Pool::harvest`].
    ///
    /// # Safety
    /// The caller is the driver, and uses the pool no more.
    pub(crate) unsafe fn release_driver(pool: NonNull<Self>, lent: Count) {
        // SAFETY: by the caller's promise.
        unsafe { Self::release(pool, lent - DRIVER) };
    }

    /// # Safety
    /// The change is the caller's whole part in the number, and the caller uses the pool no more.
    unsafe fn release(pool: NonNull<Self>, change: Count) {
        // SAFETY: the pool lives at least until this call has made the number 0.
        let before = unsafe { pool.as_ref() }.users.fetch_add(change, Ordering::AcqRel);
        if before + change != 0 {
            return;
        }
        // SAFETY: everybody else has released the pool, and `new` leaked it from a box.
        let pool = unsafe { Box::from_raw(pool.as_ptr()) };
        for (address, memory, pages) in pool.kept.into_inner() {
            // SAFETY: the memory came from the `Hal` whose `dealloc` this is, and no buffer of it is left.
            unsafe { (pool.dealloc)(address, memory, pages) };
        }
    }
}
