//! The loops around a driver, the same for each: post a group, wait, reap; or wait for a group, and take it.

use crate::c_paths;
use crate::case::Case;
use crate::machine::{now_ns, println};
use crate::meter::{self, Counts};

/// One way through one driver, as its user goes it.
pub trait Path {
    /// Posts frames whose numbers begin at `first`, as one burst.
    fn post(&mut self, first: u32, count: u32);
    /// Takes back what the device has sent, which is `count` frames.
    fn reap(&mut self, count: u32);
    /// Frames that the device has not sent yet.
    fn in_flight(&mut self) -> u32;
    /// Takes frames, as one burst, and checks their numbers.
    fn take(&mut self, first: u32, count: u32);
    /// Frames that wait to be taken.
    fn ready(&mut self) -> u32;
    /// A wait takes too long: looks whether something got stuck.
    fn nudge(&mut self);
    /// What it knows at the end.
    fn report(&mut self) -> Report;
}

/// What a path knows at the end.
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
fn wait(path: &mut impl Path, nudges: &mut u32, until: impl Fn(&mut dyn FnMut() -> (u32, u32)) -> bool) -> bool {
    let mut patience = now_ns() + PATIENCE_NS;
    let limit = now_ns() + LIMIT_NS;
    while !until(&mut || (path.in_flight(), path.ready())) {
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

/// Counts the instructions of a run in groups that fill the queue. `None` where a wait did not end.
pub fn count(path: &mut impl Path, case: &Case<'_>, empty: bool) -> Option<(Counts, u32)> {
    let mut nudges = 0;
    let mut done = 0;
    meter::reset(true);
    while done < case.packets {
        let group = case.queue.min(case.packets - done);
        let bursts = |step: &mut dyn FnMut(u32, u32)| {
            let mut first = done;
            while first < done + group {
                let count = case.burst.min(done + group - first);
                step(first, count);
                first += count;
            }
        };
        if case.transmit {
            meter::part(|| bursts(&mut |first, count| path.post(first, count)));
            if !empty && !wait(path, &mut nudges, |look| look().0 == 0) {
                return None;
            }
            meter::part(|| path.reap(group));
        } else {
            if !empty {
                // The device must not run out of buffers, or it asks to be told of each that it gets: the peer sends as many as there are.
                println!("more {done} {group}");
                if !wait(path, &mut nudges, |look| look().1 >= group) {
                    return None;
                }
            }
            meter::part(|| bursts(&mut |first, count| path.take(first, count)));
        }
        done += group;
    }
    Some((meter::counts(), nudges))
}

/// Runs a case and prints its outcome.
pub fn run(case: &Case<'_>, card: *mut u32) {
    let done = c_paths::run(case, card);
    if done.is_none() {
        println!("error case {}", case.text);
    }
}

/// The counts of the run on the driver and on the empty one.
pub fn compare(case: &Case<'_>, path: &mut impl Path, empty: &mut impl Path) {
    let base = count(empty, case, true);
    println!("start {}", case.text);
    let counted = count(path, case, false);
    let report = path.report();
    let (Some((base, _)), Some((counts, nudges))) = (base, counted) else {
        println!("stalled {} kicks={} frames={}", case.text, report.kicks, report.frames);
        return;
    };
    println!(
        "result {} calls={} whole={} empty_calls={} empty_whole={} kicks={} frames={} bad={} in_flight={} nudges={nudges}",
        case.text,
        counts.calls,
        counts.whole,
        base.calls,
        base.whole,
        report.kicks,
        report.frames,
        report.bad,
        if case.transmit { path.in_flight() } else { 0 },
    );
}
