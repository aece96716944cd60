//! The net device of virtio-drivers and ours, over the same card: what they do alike, and every difference that is meant.
//!
//! `scenarios.rs` is compiled once with the original's types and once with ours. Each scenario returns what it saw, as text, and
//! the two texts must be equal. `differences.rs` holds the table of `docs/drop-in.md`: one test for each line, which shows both
//! sides.
#![cfg(all(feature = "alloc", any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with the first of them")]

#[cfg(feature = "virtio-drivers-0_12")]
extern crate virtio_drivers_0_12 as virtio_drivers;
#[cfg(not(feature = "virtio-drivers-0_12"))]
extern crate virtio_drivers_0_13 as virtio_drivers;

#[path = "../device/mod.rs"]
mod device;

mod differences;

/// The original. It breaks rules of virtio and of its own `Hal`, which the machine notes: they are forgotten at the end of each
/// scenario.
mod original {
    pub use virtio_drivers::device::net;
    include!("scenarios.rs");
}

mod ours {
    pub use virtio_net_c::net;
    include!("scenarios.rs");
}

use device::{Card, KINDS, Machine};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Runs `act` while the card sends whatever it is given, on a thread of its own. Returns what it sent.
fn served<R>(card: &Arc<Card>, act: impl FnOnce() -> R) -> (R, Vec<Vec<u8>>) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut sent = Vec::new();
            while !done.load(Ordering::Acquire) {
                sent.extend(card.sent());
                std::thread::yield_now();
            }
            sent.extend(card.sent());
            sent
        });
        let result = act();
        done.store(true, Ordering::Release);
        (result, server.join().unwrap())
    })
}

/// Runs `act` on a thread of its own and tells whether it ends within 0.3 s; then `release` is called, and must end it.
fn ends_by_itself(machine: &Arc<Machine>, act: impl FnOnce() + Send + 'static, release: impl Fn()) -> bool {
    let machine = Arc::clone(machine);
    let worker = std::thread::spawn(move || {
        machine.select();
        act();
    });
    std::thread::sleep(Duration::from_millis(300));
    let ended = worker.is_finished();
    for _ in 0..20_000 {
        if worker.is_finished() {
            break;
        }
        release();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(worker.is_finished(), "not even the card could end the call");
    worker.join().unwrap();
    ended
}

macro_rules! alike {
    ($($scenario:ident),+ $(,)?) => {$(
        #[test]
        fn $scenario() {
            for kind in KINDS {
                let (theirs, ours) = (original::$scenario(kind), ours::$scenario(kind));
                assert!(theirs.len() > 4, "a scenario that says nothing: {theirs:?}");
                for (step, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
                    assert_eq!(ours, theirs, "step {step}, {}", kind.name);
                }
                assert_eq!(ours.len(), theirs.len(), "{}", kind.name);
            }
        }
    )+};
}

alike!(
    bring_up,
    frames_both_ways,
    buffers_in_any_order,
    a_long_run,
    wrong_arguments,
    moved_and_dropped,
    raw_tokens,
    raw_frames_both_ways,
    raw_and_blocking_calls,
    two_cards,
);
