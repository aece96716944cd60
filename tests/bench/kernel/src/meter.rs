//! Counts instructions: those within calls of the driver, and those of a whole run but its waits.

use core::arch::asm;

/// What `c/bench.h` calls `struct bench_meter`.
#[repr(C)]
struct Meter {
    calls: u64,
    whole: u64,
    excluded: u64,
    call_began: u32,
    whole_began: u32,
    on: u32,
    reserved: u32,
}

unsafe extern "C" {
    #[link_name = "bench_meter"]
    static mut METER: Meter;
}

/// What was counted.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Within the calls.
    pub calls: u64,
    /// In the whole run, without its waits.
    pub whole: u64,
}

/// Lets event counter 0 count INST_RETIRED (0x08).
pub fn init() {
    // SAFETY: nobody else uses the counters.
    unsafe {
        asm!(
            "msr pmevtyper0_el0, {event}",
            "msr pmcntenset_el0, {one}",
            "msr pmcr_el0, {one}",
            "isb",
            event = in(reg) 0x08u64,
            one = in(reg) 1u64,
            options(nostack)
        );
    }
}

/// Whether it counts at all, which QEMU does only with `-icount`.
pub fn works() -> bool {
    retired() != retired()
}

#[inline(always)]
fn retired() -> u32 {
    let count: u64;
    // SAFETY: reading the counter has no effects. Not `nomem`: what is counted must stay where it is.
    unsafe { asm!("mrs {}, pmevcntr0_el0", out(reg) count, options(nostack, preserves_flags)) };
    count as u32
}

/// Starts anew; `on`: instructions are counted.
pub fn reset(on: bool) {
    // SAFETY: one CPU runs, and no reference to the meter exists.
    unsafe {
        METER =
            Meter { calls: 0, whole: 0, excluded: 0, call_began: 0, whole_began: 0, on: on.into(), reserved: 0 };
    }
}

/// The counts since the reset.
pub fn counts() -> Counts {
    // SAFETY: as above.
    unsafe { Counts { calls: METER.calls - METER.excluded, whole: METER.whole - METER.excluded } }
}

/// A part of the run that is not a wait.
#[inline(always)]
pub fn part<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: as above.
    unsafe {
        if METER.on != 0 {
            METER.whole_began = retired();
        }
        let result = work();
        if METER.on != 0 {
            METER.whole += u64::from(retired().wrapping_sub(METER.whole_began));
        }
        result
    }
}
/// A call of the driver, or several.
#[inline(always)]
pub fn call<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: as above, in each of these functions.
    unsafe {
        if METER.on != 0 {
            METER.call_began = retired();
        }
        let result = work();
        if METER.on != 0 {
            METER.calls += u64::from(retired().wrapping_sub(METER.call_began));
        }
        result
    }
}

/// A wait within a call, which counts in neither.
#[inline(always)]
pub fn exclude(wait: impl FnOnce()) {
    // SAFETY: as above.
    unsafe {
        let began = retired();
        wait();
        METER.excluded += u64::from(retired().wrapping_sub(began));
    }
}
