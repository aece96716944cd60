//! The lock around the transport under loom, which runs every order of its atomic operations that the memory model allows.
#![allow(dead_code, reason = "the lock has more users in the crate")]

/// Loom's atomics in place of the crate's.
mod atomics {
    pub use loom::hint::spin_loop;
    pub use loom::sync::atomic::{AtomicPtr, Ordering};
}

#[path = "../src/lock.rs"]
mod lock;

use lock::Lock;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// What the lock protects, with loom's eye on who is at it.
struct Guarded {
    lock: Lock<u32>,
    value: UnsafeCell<u32>,
}

// SAFETY: the value is reached under the lock, which is what is tested.
unsafe impl Sync for Guarded {}
// SAFETY: it is a number.
unsafe impl Send for Guarded {}

impl Guarded {
    fn add(&self) {
        // SAFETY: loom ends the test where two threads are here at once, or where one does not see what the last one did.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }
}

fn explore(threads: usize, act: fn(&Guarded) -> u32) {
    loom::model(move || {
        let guarded = Arc::new(Guarded { lock: Lock::new(), value: UnsafeCell::new(0) });
        let run = |guarded: Arc<Guarded>| thread::spawn(move || act(&guarded));
        let others: Vec<_> = (1..threads).map(|_| run(Arc::clone(&guarded))).collect();
        let mut done = act(&guarded);
        for other in others {
            done += other.join().unwrap_or_default();
        }
        let _held = guarded.lock.lock();
        // SAFETY: as above.
        assert_eq!(guarded.value.with(|value| unsafe { *value }), done);
        assert!(done != 0, "somebody has had the lock");
    });
}

fn wait(guarded: &Guarded) -> u32 {
    let _held = guarded.lock.lock();
    guarded.add();
    1
}

fn try_once(guarded: &Guarded) -> u32 {
    let Some(_held) = guarded.lock.try_lock() else { return 0 };
    guarded.add();
    1
}

#[test]
fn one_at_a_time() {
    explore(2, |guarded| wait(guarded) + wait(guarded));
}

#[test]
fn one_at_a_time_without_a_wait() {
    explore(3, try_once);
}

/// As the interrupt's handle does it beside a notification.
#[test]
fn one_waits_and_one_does_not() {
    loom::model(|| {
        let guarded = Arc::new(Guarded { lock: Lock::new(), value: UnsafeCell::new(0) });
        let other = Arc::clone(&guarded);
        let waiting = thread::spawn(move || wait(&other));
        let tried = try_once(&guarded);
        assert_eq!(waiting.join().unwrap_or_default(), 1);
        let _held = guarded.lock.lock();
        // SAFETY: as above.
        assert_eq!(guarded.value.with(|value| unsafe { *value }), 1 + tried);
    });
}

#[test]
fn held_it_is_refused() {
    loom::model(|| {
        let lock = Lock::<u32>::new();
        let held = lock.try_lock();
        assert!(held.is_some() && lock.try_lock().is_none() && lock.try_lock().is_none());
        drop(held);
        assert!(lock.try_lock().is_some());
    });
}

/// The pointer comes back out of each turn with the lock.
#[cfg(feature = "alloc")]
#[test]
fn the_pointer_stays() {
    loom::model(|| {
        let mut value = 7;
        let mut lock = Lock::<u32>::new();
        assert!(lock.kept().is_null());
        lock.keep(&raw mut value);
        for _ in 0..3 {
            drop(lock.lock());
            assert_eq!(lock.kept(), &raw mut value);
        }
    });
}
