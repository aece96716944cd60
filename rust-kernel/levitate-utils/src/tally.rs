//! Keeps count of the frames that the exchange test receives.

use crate::frames::Verdict;
use alloc::vec;
use alloc::vec::Vec;

/// Counts of one direction.
#[derive(Clone, Debug)]
pub struct Tally {
    /// A bit for each index that has come.
    seen: Vec<u64>,
    frames: u32,
    /// The index after the highest that has come.
    next: u32,
    /// Right frames, each index counted once.
    pub received: u32,
    /// Right frames whose index had come before.
    pub duplicate: u64,
    /// Frames with a wrong byte.
    pub corrupt: u64,
    /// Right frames that came after one with a higher index.
    pub out_of_order: u64,
}

impl Tally {
    /// Expects frames with indices below `frames`.
    pub fn new(frames: u32) -> Self {
        let words = frames.div_ceil(64) as usize;
        Self { seen: vec![0; words], frames, next: 0, received: 0, duplicate: 0, corrupt: 0, out_of_order: 0 }
    }

    /// Whether every frame has come.
    pub fn complete(&self) -> bool {
        self.received == self.frames
    }

    /// Frames that have not come.
    pub fn lost(&self) -> u32 {
        self.frames - self.received
    }

    /// Counts one frame. An index not expected is counted as corrupt.
    pub fn record(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Foreign => {}
            Verdict::Good(index) if index < self.frames => self.record_good(index),
            Verdict::Good(_) | Verdict::Corrupt => self.corrupt += 1,
        }
    }

    fn record_good(&mut self, index: u32) {
        let (word, bit) = (&mut self.seen[index as usize / 64], 1 << (index % 64));
        if *word & bit != 0 {
            self.duplicate += 1;
            return;
        }
        *word |= bit;
        self.received += 1;
        if index < self.next {
            self.out_of_order += 1;
        } else {
            self.next = index + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally_of(frames: u32, indices: &[u32]) -> Tally {
        let mut tally = Tally::new(frames);
        indices.iter().for_each(|index| tally.record(Verdict::Good(*index)));
        tally
    }

    #[test]
    fn all_in_order_is_complete() {
        let tally = tally_of(65, &std::array::from_fn::<u32, 65, _>(|index| index as u32));
        assert!(tally.complete());
        assert_eq!((tally.lost(), tally.duplicate, tally.out_of_order, tally.corrupt), (0, 0, 0, 0));
    }

    #[test]
    fn each_fault_has_its_count() {
        let mut tally = tally_of(5, &[0, 2, 2, 1, 3]);
        tally.record(Verdict::Corrupt);
        tally.record(Verdict::Foreign);
        tally.record(Verdict::Good(5));
        assert!(!tally.complete());
        assert_eq!((tally.received, tally.lost()), (4, 1));
        assert_eq!((tally.duplicate, tally.out_of_order, tally.corrupt), (1, 1, 2));
    }

    #[test]
    fn nothing_expected_is_complete() {
        assert!(Tally::new(0).complete());
    }
}
