//! What the drop-ins need of a kernel: stack, beside the original, and heap.
//!
//! Each call runs on a stack of its own that was filled with a pattern, and what of it is overwritten afterwards was needed. The
//! card, its `Hal` and the heap need next to none (`card.rs`), so that it is the driver that is measured. What kernels get is
//! seen with optimisation only, so `run.sh` runs this with `--release` too; `-- --nocapture` prints the figures of
//! docs/drop-in.md.
#![cfg(all(
    any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"),
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with the first of them")]

#[cfg(feature = "virtio-drivers-0_12")]
extern crate virtio_drivers_0_12 as virtio_drivers;
#[cfg(not(feature = "virtio-drivers-0_12"))]
extern crate virtio_drivers_0_13 as virtio_drivers;

#[cfg_attr(not(feature = "alloc"), allow(dead_code, reason = "the heap is counted where there is one"))]
mod card;
#[cfg(feature = "alloc")]
mod heap;
mod meter;

mod original {
    use virtio_drivers::device::net;
    include!("steps.rs");
}

mod ours {
    use virtio_net_c::net;
    include!("steps.rs");
}

/// What was measured of a type.
struct Needs {
    /// Bytes of a value.
    value: usize,
    /// Bytes of stack of each call, by its name.
    calls: Vec<(&'static str, usize)>,
}

/// What a call of ours may need, in bytes. Optimised, the most is needed where sent frames are taken back, eight at a time, whose
/// packets lie on the stack.
const LIMIT: usize = if cfg!(debug_assertions) { 6144 } else { 1280 };

/// The same for `new`, of a value of so many bytes. Without a heap the value is the driver: it is made in one place and returned
/// to another. Without optimisation it is moved on the way there as well.
fn limit_of_new(value: usize) -> usize {
    match (cfg!(feature = "alloc"), cfg!(debug_assertions)) {
        (true, _) => LIMIT,
        (false, false) => LIMIT + 2 * value,
        (false, true) => usize::MAX,
    }
}

fn compare(name: &str, ours: [Needs; 3], theirs: [Needs; 3]) {
    let mut wrong = Vec::new();
    for (place, (call, _)) in ours[0].calls.iter().enumerate() {
        let [need, original] = [&ours, &theirs].map(|queues| queues.each_ref().map(|needs| needs.calls[place].1));
        let line =
            format!("{name:12} {call:10} {need:?} bytes with queues of 16, 64, 256; the original {original:?}");
        println!("{line}");
        let fits = ours.iter().zip(need).all(|(ours, need)| match *call {
            "new" => need <= limit_of_new(ours.value),
            _ => need <= LIMIT,
        });
        if !fits {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "above the limit: {wrong:#?}");
}

#[cfg(feature = "alloc")]
#[test]
fn the_calls_need_little_stack() {
    compare(
        "VirtIONet",
        [ours::net::<16>(), ours::net::<64>(), ours::net::<256>()],
        [original::net::<16>(), original::net::<64>(), original::net::<256>()],
    );
}

#[test]
fn the_raw_calls_need_little_stack() {
    compare(
        "VirtIONetRaw",
        [ours::raw::<16>(), ours::raw::<64>(), ours::raw::<256>()],
        [original::raw::<16>(), original::raw::<64>(), original::raw::<256>()],
    );
}

/// `NetDevice` is returned by value: it is made in one place, and returned to another.
#[test]
#[cfg_attr(debug_assertions, ignore = "without optimisation it is moved on the way there as well")]
fn the_driver_itself_is_not_moved_about() {
    use card::{Card, TinyHal, TinyTransport};
    use virtio_net_c::{NetDevice, Options};

    type Device<'a> = NetDevice<TinyHal, TinyTransport<'a>, 256, 256>;
    let card = Card::new();
    let mut made = Box::new_uninit();
    let need = meter::stack(|| {
        made.write(Device::new(TinyTransport(&card), Options::new()));
    });
    // SAFETY: it was just written.
    assert!(unsafe { made.assume_init() }.is_ok());
    println!("NetDevice    new        {need} bytes with queues of 256, {} of a value", size_of::<Device<'_>>());
    assert!(need <= LIMIT + 2 * size_of::<Device<'_>>());
}

/// A meter that said the same of everything would please the other tests.
#[test]
fn the_meter_measures() {
    fn deep<const N: usize>() {
        let mut deep = std::mem::MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the byte is one of the array's.
        unsafe { std::hint::black_box(&mut deep).as_mut_ptr().write_bytes(1, 1) };
        std::hint::black_box(&deep);
    }
    let none = meter::stack(|| ());
    assert!((1024..1024 + 256).contains(&(meter::stack(deep::<1024>) - none)));
    assert!((65536..65536 + 256).contains(&(meter::stack(deep::<65536>) - none)));
}
