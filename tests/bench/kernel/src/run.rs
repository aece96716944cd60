//! The loops around a driver, the same for each: post a group, wait, reap; or wait for a group, and take it.

use crate::case::Case;
use crate::machine::{now_ns, println};
use crate::meter::{self, Counts};
use crate::{c_paths, heap_paths, raw_paths, safe_paths, spy};

/// One way through one driver, as its user goes it.
pub trait Path {
    /// Posts frames whose numbers begin at `first`, as one burst.
    fn post(&mut self, first: u32, count: u32);
    /// Takes back what the device has sent: `count` frames whose numbers begin at `first`.
    fn reap(&mut self, first: u32, count: u32);
    /// Frames that the device has not sent yet.
    fn in_flight(&mut self) -> u32;
    /// Takes frames, as one burst, and checks their numbers.
    fn take(&mut self, first: u32, count: u32);
    /// Frames that wait to be taken.
    fn ready(&mut self) -> u32;
    /// A wait takes too long: looks whether something got stuck.
    fn nudge(&mut self);
    /// Frames to send before a wait, or to wait for: what the queue holds.
    fn group(&self, case: &Case<'_>) -> u32 {
        case.queue
    }
    /// What it knows so far.
    fn report(&mut self) -> Report;
}

/// What a path knows so far.
#[derive(Default)]
pub struct Report {
    /// Notifications of the queue.
    pub kicks: u64,
    /// Frames that the driver's statistics count, where it has any.
    pub frames: u64,
    /// Frames that were not what they should be.
    pub bad: u32,
}

/// After so long a wait, something is stuck.
const PATIENCE_NS: u64 = 200_000_000;
const LIMIT_NS: u64 = 10_000_000_000;

/// Waits, and counts the nudges. False: it was in vain.
fn wait<P: Path>(path: &mut P, nudges: &mut u32, until: impl Fn(&mut P) -> bool) -> bool {
    let mut patience = now_ns() + PATIENCE_NS;
    let limit = now_ns() + LIMIT_NS;
    while !until(path) {
        let now = now_ns();
        if now > patience {
            *nudges += 1;
            path.nudge();
            patience = now + PATIENCE_NS;
        }
        if now > limit {
            return false;
        }
    }
    true
}

/// Calls `step` for each burst of a group.
#[inline(always)]
fn bursts(case: &Case<'_>, start: u32, group: u32, mut step: impl FnMut(u32, u32)) {
    let mut first = start;
    while first < start + group {
        let count = case.burst.min(start + group - first);
        step(first, count);
        first += count;
    }
}

/// Posts a group, waits, reaps.
fn transmit_group(path: &mut impl Path, case: &Case<'_>, start: u32, group: u32, nudges: Option<&mut u32>) -> bool {
    meter::part(|| bursts(case, start, group, |first, count| path.post(first, count)));
    let sent = nudges.is_none_or(|nudges| wait(path, nudges, |path| path.in_flight() == 0));
    meter::part(|| path.reap(start, group));
    sent
}

/// Waits for a group, and takes it.
fn receive_group(path: &mut impl Path, case: &Case<'_>, start: u32, group: u32, nudges: Option<&mut u32>) -> bool {
    let arrived = nudges.is_none_or(|nudges| {
        // The device must not run out of buffers, or it asks to be told of each that it gets: the peer sends as many as there are.
        println!("more {start} {group}");
        wait(path, nudges, |path| path.ready() >= group)
    });
    meter::part(|| bursts(case, start, group, |first, count| path.take(first, count)));
    arrived
}

/// Counts the instructions of a run. `None` where a wait did not end. Without `nudges` the driver is an empty one, and nothing waits.
fn count(path: &mut impl Path, case: &Case<'_>, mut nudges: Option<&mut u32>) -> Option<Counts> {
    let size = path.group(case);
    let mut done = 0;
    meter::reset(true);
    while done < case.packets {
        let group = size.min(case.packets - done);
        let went_well = if case.transmit {
            transmit_group(path, case, done, group, nudges.as_deref_mut())
        } else {
            receive_group(path, case, done, group, nudges.as_deref_mut())
        };
        if !went_well {
            return None;
        }
        done += group;
    }
    Some(meter::counts())
}

/// Runs a case and prints its outcome.
pub fn run(case: &Case<'_>, card: *mut u32) {
    let done = c_paths::run(case, card)
        .or_else(|| safe_paths::run(case, card))
        .or_else(|| heap_paths::run(case, card))
        .or_else(|| raw_paths::run(case, card));
    if done.is_none() {
        println!("error case {}", case.text);
    }
}

/// The counts of the run on the driver and on the empty one.
pub fn compare(case: &Case<'_>, path: &mut impl Path, empty: &mut impl Path) {
    let base = count(empty, case, None).unwrap_or_default();
    let (before, tally) = (path.report(), spy::tallied());
    let mut nudges = 0;
    println!("start {}", case.text);
    let counts = count(path, case, Some(&mut nudges));
    let (after, tallied) = (path.report(), spy::tallied());
    let [shares, unshares, allocations] = [0, 1, 2].map(|index| tallied[index] - tally[index]);
    let Counts { calls, whole } = counts.unwrap_or_default();
    println!(
        "result {} stalled={} calls={calls} whole={whole} empty_calls={} empty_whole={} kicks={} frames={} bad={} in_flight={} \
         nudges={nudges} shares={shares} unshares={unshares} allocations={allocations}",
        case.text,
        u8::from(counts.is_none()),
        base.calls,
        base.whole,
        after.kicks - before.kicks,
        after.frames - before.frames,
        after.bad - before.bad,
        if case.transmit { path.in_flight() } else { 0 },
    );
}
