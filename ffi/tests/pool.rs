//! The receive pool of the drop-in under loom, which runs every order of its atomic operations that the memory model allows, with
//! a number of users of 8 bits: what wraps in a word of 32 bits after hours wraps here at once.
#![cfg(feature = "alloc")]
#![allow(dead_code, reason = "the pool has more users in the crate")]
#![allow(clippy::unwrap_used, reason = "a test ends with the first of them")]

extern crate alloc;

/// Loom's atomics in place of the crate's.
mod atomics {
    pub use loom::sync::atomic::{AtomicBool, AtomicI8 as AtomicCount, AtomicU32, Ordering};
    pub type Count = i8;
}

mod virtio_drivers {
    pub type PhysAddr = u64;
}

#[path = "../src/heap.rs"]
mod heap;
#[path = "../src/pool.rs"]
mod pool;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use pool::Pool;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

const SLOTS: usize = 2;

/// What the pool is about, with loom's eye on who is at it. Each user of the pool writes its `parts` until it has no part in the
/// pool; who frees the memory writes all of them, which loom refuses where somebody has not been seen to be done.
#[derive(Default)]
struct Memory {
    frames: [UnsafeCell<u32>; SLOTS],
    parts: [UnsafeCell<u32>; SLOTS + 1],
    freed: AtomicUsize,
}

// SAFETY: loom checks who is at the cells, which is what is tested.
unsafe impl Sync for Memory {}
// SAFETY: they are numbers.
unsafe impl Send for Memory {}

fn touch(cell: &UnsafeCell<u32>) {
    // SAFETY: loom ends the test where two threads are here at once, or where one does not see what the last one did.
    cell.with_mut(|value| unsafe { *value += 1 });
}

unsafe fn free(_: u64, memory: NonNull<u8>, _: usize) -> i32 {
    // SAFETY: `keep` was told this, and the test holds it to its end.
    let memory = unsafe { memory.cast::<Memory>().as_ref() };
    memory.frames.iter().chain(&memory.parts).for_each(touch);
    memory.freed.fetch_add(1, Ordering::Relaxed);
    0
}

#[derive(Clone, Copy)]
struct User(NonNull<Pool>);

// SAFETY: as the driver and its buffers, which are `Send`.
unsafe impl Send for User {}

impl User {
    fn pool(&self) -> &Pool {
        // SAFETY: whoever has a part in the pool keeps it.
        unsafe { self.0.as_ref() }
    }

    /// Drops the buffer of a slot.
    fn drop_buffer(self, memory: &Memory, slot: u16) {
        touch(&memory.frames[usize::from(slot)]);
        self.pool().give_back(slot);
        // A slot may be lent again while the buffer that had it is still here; the part is its own, not the slot's.
        touch(&memory.parts[usize::from(slot)]);
        // SAFETY: the buffer's end.
        unsafe { Pool::release_buffer(self.0) };
    }
}

/// The driver, with what it knows of its buffers.
struct Driver {
    user: User,
    memory: Arc<Memory>,
    lent: i8,
}

impl Driver {
    fn new() -> Self {
        let memory = Arc::<Memory>::default();
        let pool = Pool::new(SLOTS, free).unwrap();
        let user = User(NonNull::from(Box::leak(pool)));
        // SAFETY: the memory outlives the pool, or the test fails.
        unsafe {
            user.pool().make_room(1).unwrap();
            user.pool().keep(0, NonNull::from(&*memory).cast(), 1);
        }
        Self { user, memory, lent: 0 }
    }

    /// Lends a slot to another thread, which drops the buffer.
    fn lend(&mut self, slot: u16) -> JoinHandle<()> {
        touch(&self.memory.frames[usize::from(slot)]);
        self.lent += 1;
        let (user, memory) = (self.user, Arc::clone(&self.memory));
        thread::spawn(move || user.drop_buffer(&memory, slot))
    }

    /// Finds what was dropped.
    fn harvest(&mut self) -> Vec<u16> {
        let mut found = Vec::new();
        self.user.pool().harvest(|slot| {
            touch(&self.memory.frames[usize::from(slot)]);
            found.push(slot);
        });
        self.lent -= found.len() as i8;
        found
    }

    /// Its end. Where every buffer is home it frees the frames itself, before it releases the pool.
    fn end(self) -> Arc<Memory> {
        if self.user.pool().is_home(self.lent) {
            self.memory.frames.iter().chain(&self.memory.parts).for_each(touch);
        }
        touch(&self.memory.parts[SLOTS]);
        // SAFETY: the driver's end.
        unsafe { Pool::release_driver(self.user.0, self.lent) };
        self.memory
    }
}

fn freed(memory: &Memory) -> usize {
    memory.freed.load(Ordering::Relaxed)
}

/// Buffers on two processors beside the driver, which looks for them and ends: memory goes once, and after everybody.
#[test]
fn the_last_user_frees_the_memory() {
    for (buffers, looks) in [(2, 0), (2, 1), (1, 2)] {
        let mut model = loom::model::Builder::new();
        // Every order, but for those in which threads are put aside more often than this with work left.
        model.preemption_bound = Some(3);
        model.check(move || {
            let mut driver = Driver::new();
            let buffers: Vec<_> = (0..buffers).map(|slot| driver.lend(slot)).collect();
            for _ in 0..looks {
                driver.harvest();
            }
            let memory = driver.end();
            for buffer in buffers {
                assert!(buffer.join().is_ok());
            }
            assert_eq!(freed(&memory), 1);
        });
    }
}

/// A slot that the driver found is lent again, while the buffer that had it has not left the pool yet.
#[test]
fn a_slot_may_be_lent_before_its_last_buffer_has_left() {
    loom::model(|| {
        let mut driver = Driver::new();
        let mut buffers = vec![driver.lend(0)];
        let found = driver.harvest();
        // The next buffer of the slot has the other slot's cell for its part, to be told from this one.
        buffers.extend(found.iter().map(|_| driver.lend(1)));
        driver.harvest();
        assert_eq!(freed(&driver.memory), 0, "the driver is still there");
        let memory = driver.end();
        for buffer in buffers {
            assert!(buffer.join().is_ok());
        }
        assert_eq!(freed(&memory), 1);
    });
}

/// More buffers are dropped than the number of users can count, with one lent all the time.
#[test]
fn buffers_over_time_are_not_counted() {
    let mut model = loom::model::Builder::new();
    model.max_branches = 100_000;
    model.check(|| {
        let mut driver = Driver::new();
        driver.lent += 1;
        for _ in 0..1000 {
            driver.lent += 1;
            driver.user.drop_buffer(&driver.memory, 0);
            assert!(!driver.user.pool().is_home(driver.lent), "one is lent");
            assert_eq!(driver.harvest(), [0]);
            assert_eq!((freed(&driver.memory), driver.lent), (0, 1));
        }
        let (user, memory) = (driver.user, Arc::clone(&driver.memory));
        driver.end();
        assert_eq!(freed(&memory), 0, "one is lent");
        user.drop_buffer(&memory, 1);
        assert_eq!(freed(&memory), 1);
    });
}
