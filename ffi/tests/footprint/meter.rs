//! Runs a closure on a stack of its own, and tells how much of it was used.

use std::arch::asm;

const STACK: usize = 1 << 20;
/// What no frame is full of.
const UNTOUCHED: u64 = 0xa5c3_5a3c_9669_f00f;

extern "C" fn enter<F: FnOnce()>(act: *mut Option<F>) {
    // SAFETY: the pointer is that of `stack`, which waits for this function.
    if let Some(act) = unsafe { (*act).take() } {
        act();
    }
}

/// Bytes of stack that `act` needs. A panic in it ends the process.
#[inline(never)]
pub fn stack<F: FnOnce()>(act: F) -> usize {
    let mut memory = vec![UNTOUCHED; STACK / 8];
    let end = memory.as_mut_ptr_range().end;
    // The highest address that is aligned as a stack must be.
    let top = end.map_addr(|address| address & !15);
    let mut act = Some(act);
    let (function, act): (extern "C" fn(*mut Option<F>), _) = (enter::<F>, &raw mut act);
    // SAFETY: the new stack is this function's alone, aligned, and large; the old one is there again behind the call, from a
    // register that every function keeps.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "mov r12, rsp", "mov rsp, {top}", "call {function}", "mov rsp, r12",
            top = in(reg) top, function = in(reg) function, in("rdi") act, out("r12") _, clobber_abi("C"),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "mov x20, sp", "mov sp, {top}", "blr {function}", "mov sp, x20",
            top = in(reg) top, function = in(reg) function, in("x0") act, out("x20") _, clobber_abi("C"),
        );
    }
    // SAFETY: nobody else reads or writes the memory. What the call has left there has no type but this.
    let untouched =
        (0..memory.len()).take_while(|place| unsafe { memory.as_ptr().add(*place).read_volatile() } == UNTOUCHED);
    let left = untouched.count() * 8;
    assert!(left > 4096, "the stack was too small");
    top.addr() - memory.as_ptr().addr() - left
}
