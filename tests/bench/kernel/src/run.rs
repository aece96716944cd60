//! The loops around a driver, the same for each.

use crate::case::{Case, Kind};
use crate::machine::{self, now_ns, println};
use crate::meter::{self, Counts};
use crate::{c_paths, heap_paths, raw_paths, safe_paths, spy};

/// One way through one driver, as its user goes it. What calls the driver is never inlined into the loops here, so that they do
/// not decide how the driver is compiled.
pub trait Path {
    /// Posts frames whose numbers begin at `first`, as one burst. Returns how many.
    fn post(&mut self, first: u32, count: u32) -> u32;
    /// Frames that may be posted at all, for drivers that do not look themselves.
    fn room(&mut self) -> u32 {
        u32::MAX
    }
    /// Takes back what the device has sent, but no more than `limit` frames.
    fn reap(&mut self, limit: u32);
    /// Frames that the device has not sent yet.
    fn in_flight(&mut self) -> u32;
    /// Takes frames, as one burst, and checks that their numbers begin at `first`. Returns how many.
    fn take(&mut self, first: u32, count: u32) -> u32;
    /// Frames that wait to be taken.
    fn ready(&mut self) -> u32;
    /// A wait takes too long: looks whether something got stuck.
    fn nudge(&mut self);
    /// Frames to send before a wait, or to wait for: what the queue holds.
    fn group(&self, case: &Case<'_>) -> u32 {
        case.queue
    }
    /// Asks for an interrupt when a frame arrives.
    fn enable_interrupts(&mut self) {}
    /// Acknowledges the interrupt.
    fn acknowledge(&mut self) {}
    /// What it knows so far.
    fn report(&mut self) -> Report;
}

/// What a path knows so far.
#[derive(Clone, Copy, Default)]
pub struct Report {
    /// Notifications of the queue.
    pub kicks: u64,
    /// Of these, ones that the device had not asked for.
    pub rekicks: u64,
    /// Frames that the driver's statistics count, where it has any.
    pub frames: u64,
    /// Frames that were not what they should be.
    pub bad: u32,
}

/// After so long a wait, something is stuck.
const PATIENCE_NS: u64 = 200_000_000;
const LIMIT_NS: u64 = 10_000_000_000;

/// A driver that is too fast sleeps so long.
const NAP_US: u64 = 20;

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

/// Calls `step` for each burst of a group; true where each took all.
#[inline(always)]
fn bursts(case: &Case<'_>, start: u32, group: u32, mut step: impl FnMut(u32, u32) -> u32) -> bool {
    let mut first = start;
    let mut short = 0;
    while first < start + group {
        let count = case.burst.min(start + group - first);
        short |= count ^ step(first, count);
        first += count;
    }
    short == 0
}

/// Posts a group, waits, reaps.
fn transmit_group(path: &mut impl Path, case: &Case<'_>, start: u32, group: u32, nudges: Option<&mut u32>) -> bool {
    let posted = meter::part(|| bursts(case, start, group, |first, count| path.post(first, count)));
    let sent = nudges.is_none_or(|nudges| wait(path, nudges, |path| path.in_flight() == 0));
    meter::part(|| path.reap(group));
    posted && sent
}

/// Waits for a group, and takes it.
fn receive_group(path: &mut impl Path, case: &Case<'_>, start: u32, group: u32, nudges: Option<&mut u32>) -> bool {
    let arrived = nudges.is_none_or(|nudges| {
        // The device must not run out of buffers, or it asks to be told of each that it gets: the peer sends as many as there
        // are.
        println!("more {start} {group}");
        wait(path, nudges, |path| path.ready() >= group)
    });
    meter::part(|| bursts(case, start, group, |first, count| path.take(first, count))) && arrived
}

/// Counts the instructions of a run. `None` where it did not go well. Without `nudges` the driver is an empty one, and nothing
/// waits.
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

/// The time of a run without waits but the driver's own.
#[derive(Default)]
struct Pace {
    total_ns: u64,
    /// The longest time in which nothing moved.
    pause_ns: u64,
}

/// Watches that a run moves on.
struct Watch {
    began: u64,
    moved: u64,
    pause: u64,
}

impl Watch {
    fn new() -> Self {
        let now = now_ns();
        Self { began: now, moved: now, pause: 0 }
    }

    /// False: it has not moved for too long.
    fn look(&mut self, moved: bool) -> bool {
        let now = now_ns();
        let pause = now - self.moved;
        self.pause = self.pause.max(pause);
        if moved {
            self.moved = now;
        }
        pause < LIMIT_NS
    }

    fn pace(&self) -> Pace {
        Pace { total_ns: self.moved - self.began, pause_ns: self.pause }
    }
}

/// Sends all frames as fast as it goes. `None` where it stalled.
fn transmit_freely(path: &mut impl Path, case: &Case<'_>) -> Option<Pace> {
    let mut watch = Watch::new();
    let mut posted = 0;
    while posted < case.packets {
        let count = case.burst.min(case.packets - posted);
        let done = if path.room() >= count { path.post(posted, count) } else { 0 };
        posted += done;
        if done < count {
            path.reap(u32::MAX);
            // QEMU needs the processor too: a spinning guest would compete with the device that it waits for.
            if path.in_flight() > case.queue / 2 {
                machine::sleep_us(NAP_US);
            }
        }
        if !watch.look(done != 0) {
            return None;
        }
    }
    let mut left = path.in_flight();
    while left != 0 {
        path.reap(u32::MAX);
        machine::sleep_us(NAP_US);
        let now = path.in_flight();
        if !watch.look(now != left) {
            return None;
        }
        left = now;
    }
    watch.look(true);
    path.reap(u32::MAX);
    Some(watch.pace())
}

/// Receives all frames as fast as they come. `None` where they stopped coming.
fn receive_freely(path: &mut impl Path, case: &Case<'_>) -> Option<Pace> {
    println!("more 0 {}", case.packets);
    let limit = now_ns() + LIMIT_NS;
    while path.ready() == 0 {
        if now_ns() > limit {
            return None;
        }
    }
    let mut watch = Watch::new();
    let mut taken = 0;
    while taken < case.packets {
        let done = path.take(taken, case.burst);
        taken += done;
        if done == 0 {
            machine::sleep_us(NAP_US);
        }
        if !watch.look(done != 0) {
            return None;
        }
    }
    Some(watch.pace())
}

/// Sends each frame back.
fn echo(path: &mut impl Path, case: &Case<'_>) -> Option<Pace> {
    let interrupts = case.kind == Kind::EchoInterrupt;
    if interrupts {
        machine::enable_card_interrupt();
        path.enable_interrupts();
    }
    println!("echo {}", case.packets);
    let mut watch = Watch::new();
    let mut done = 0;
    while done < case.packets {
        // A poller's looks that find nothing are its wait. With interrupts such a look asks for the next one.
        let look = interrupts || path.ready() != 0;
        if !look || meter::part(|| path.take(done, 1)) == 0 {
            if interrupts {
                machine::wait_for_interrupt(|| meter::part(|| path.acknowledge()));
            }
            if !watch.look(false) {
                return None;
            }
            continue;
        }
        meter::part(|| {
            while path.post(done, 1) == 0 {
                path.reap(u32::MAX);
            }
            path.reap(1);
        });
        done += 1;
        watch.look(true);
    }
    while path.in_flight() != 0 {
        path.reap(1);
    }
    Some(watch.pace())
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

/// Runs the driver, and where instructions are counted the empty one.
pub fn compare(case: &Case<'_>, path: &mut impl Path, empty: &mut impl Path) {
    let counting = case.kind == Kind::Count;
    let base = if counting { count(empty, case, None).unwrap_or_default() } else { Counts::default() };
    let (before, tally) = (path.report(), spy::tallied());
    let mut nudges = 0;
    println!("start {}", case.text);
    let (counts, pace) = if counting {
        (count(path, case, Some(&mut nudges)), Some(Pace::default()))
    } else {
        meter::reset(meter::works() && case.kind != Kind::Free);
        let pace = match case.kind {
            Kind::Free if case.transmit => transmit_freely(path, case),
            Kind::Count | Kind::Free => receive_freely(path, case),
            Kind::EchoPolling | Kind::EchoInterrupt => echo(path, case),
        };
        (Some(meter::counts()), pace)
    };
    let (after, tallied) = (path.report(), spy::tallied());
    let [shares, unshares, allocations] = [0, 1, 2].map(|index| tallied[index] - tally[index]);
    let stalled = u8::from(counts.is_none() || pace.is_none());
    let Counts { calls, whole } = counts.unwrap_or_default();
    let Pace { total_ns, pause_ns } = pace.unwrap_or_default();
    println!(
        "result {} stalled={stalled} calls={calls} whole={whole} empty_calls={} empty_whole={} kicks={} rekicks={} frames={} \
         bad={} in_flight={} nudges={nudges} shares={shares} unshares={unshares} allocations={allocations} total_ns={total_ns} \
         pause_ns={pause_ns}",
        case.text,
        base.calls,
        base.whole,
        after.kicks - before.kicks,
        after.rekicks - before.rekicks,
        after.frames - before.frames,
        after.bad - before.bad,
        if case.transmit { path.in_flight() } else { 0 },
    );
}
