//! A machine with a network card that nobody of this project wrote: rust-vmm's `virtio-queue` serves the rings, over the guest
//! memory of `vm-memory`.
//!
//! [`Machine`] is the memory and the `Hal`, [`Card`] the device, [`FakeTransport`] the way to its registers. They forgive
//! nothing: what the driver does against the rules of `Hal`, of the transport or of virtio 1.2 is written down, and fails the
//! test when its machine goes.

#![allow(dead_code, unused_imports, reason = "every test binary uses another part of it")]

mod card;
mod machine;
mod transport;

pub use card::{Card, Config, HEADER_ROOM, Kind, RX, TX, feature};
pub use machine::{Machine, Plug, TestHal};
pub use transport::FakeTransport;

use std::sync::Arc;

/// Every way in which the device can be talked to, to be tested one after the other.
pub const KINDS: [Kind; 5] = [
    Kind { name: "modern", legacy: false, extra: feature::EVENT_IDX },
    Kind { name: "modern without EVENT_IDX", legacy: false, extra: 0 },
    Kind { name: "legacy with ANY_LAYOUT", legacy: true, extra: feature::ANY_LAYOUT | feature::EVENT_IDX },
    Kind { name: "legacy in chains", legacy: true, extra: 0 },
    Kind { name: "legacy with INDIRECT", legacy: true, extra: feature::INDIRECT_DESC | feature::EVENT_IDX },
];

pub const MODERN: Kind = KINDS[0];
pub const LEGACY: Kind = KINDS[3];

/// A plugged machine with one card of the kind.
pub fn machine(kind: Kind) -> (Plug, Arc<Card>) {
    let plug = Machine::plug();
    let card = Card::new(&plug, Config::new(kind));
    (plug, card)
}

/// A frame of `length` bytes whose content depends on the length and on the number, and which carries the number where it is
/// long enough for that.
pub fn frame(length: usize, number: u32) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = (place as u32).wrapping_mul(31).wrapping_add(number.wrapping_mul(97)).wrapping_add(7) as u8;
    }
    if let Some(place) = bytes.get_mut(14..18) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// The number that [`frame`] put into a frame.
pub fn number_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes([frame[14], frame[15], frame[16], frame[17]])
}

/// Numbers that look random and are the same in each run (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
