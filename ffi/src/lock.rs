//! The lock around the host's transport.
//!
//! A transport of the host's takes `&mut self`, and the handles of a split driver reach it from different processors. It is
//! locked for one call at a time, which is an access of a register or a few: a trap to the hypervisor mostly, so the lock costs
//! nothing beside it. Nobody waits for the device while holding it.

use crate::atomics::{AtomicPtr, Ordering, spin_loop};
use core::ptr;

/// A spin lock that says nothing of what it protects, and keeps a pointer for its owner: a word for both, because the drop-in
/// must not be larger than the original.
///
/// The word is the pointer, or, while somebody holds the lock, an address that no pointer of the owner's has.
pub(crate) struct Lock<P>(AtomicPtr<P>);

/// The lock is held for as long as this lives.
pub(crate) struct Held<'a, P> {
    lock: &'a Lock<P>,
    kept: *mut P,
}

/// The address that means "taken".
fn taken<P>() -> *mut P {
    ptr::without_provenance_mut(1)
}

impl<P> Lock<P> {
    pub(crate) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Takes the lock, or tells that somebody has it. A failed look writes nothing, so that it does not take the cache line away
    /// from whoever has the lock.
    pub(crate) fn try_lock(&self) -> Option<Held<'_, P>> {
        let kept = self.0.load(Ordering::Relaxed);
        if kept == taken() {
            return None;
        }
        self.0.compare_exchange(kept, taken(), Ordering::Acquire, Ordering::Relaxed).ok()?;
        Some(Held { lock: self, kept })
    }

    /// Waits for the lock. Not in line: it is taken in many places, for what is slow anyway.
    #[inline(never)]
    pub(crate) fn lock(&self) -> Held<'_, P> {
        loop {
            if let Some(held) = self.try_lock() {
                return held;
            }
            spin_loop();
        }
    }

    /// Keeps a pointer, not to address 1. The lock is free: nobody else has it.
    #[cfg(feature = "alloc")]
    pub(crate) fn keep(&mut self, pointer: *mut P) {
        self.0.store(pointer, Ordering::Relaxed);
    }

    /// The pointer, to be asked for while nobody holds the lock; null where there is none.
    pub(crate) fn kept(&self) -> *mut P {
        self.0.load(Ordering::Relaxed)
    }
}

impl<P> Drop for Held<'_, P> {
    fn drop(&mut self) {
        self.lock.0.store(self.kept, Ordering::Release);
    }
}
