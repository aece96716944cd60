//! What the drop-ins take of the heap, and what they do where it has no more.

use super::card::{Card, Has, TinyHal, TinyTransport, has, limit_runs, with_blocks};
use virtio_drivers::{Error, PAGE_SIZE};
use virtio_net_c::{VirtIONet, VirtIONetRaw};

type Net<'a, const N: usize> = VirtIONet<TinyHal, TinyTransport<'a>, N>;
type Raw<'a, const N: usize> = VirtIONetRaw<TinyHal, TinyTransport<'a>, N>;

const BUFFER: usize = 2048;
/// A receive slot of that: as many bytes, and what aligns the frame and the next slot.
const STRIDE: usize = 2112;

/// Bytes and blocks that `make` takes of the heap for a value.
fn taken<V>(make: impl FnOnce() -> V) -> (usize, usize) {
    let before = has();
    let value = make();
    let after = has();
    drop(value);
    assert_eq!(has(), before, "all of it is given back");
    // Each began with what another thread had taken for it.
    (after.bytes.wrapping_sub(before.bytes), after.blocks.wrapping_sub(before.blocks))
}

/// As docs/drop-in.md says.
#[test]
fn what_new_takes() {
    fn state(entries: usize) -> usize {
        // The C driver's, and what Rust has beside it: the transport and three words, in whole lines.
        768 + 64 * entries + 64
    }
    fn pool(entries: usize, blocks: usize) -> usize {
        let (head, frames) = (64, 2 * 16 * 64);
        head + frames + entries.div_ceil(32) * 4 + blocks * 24
    }
    let card = Card::new();
    let transport = || TinyTransport(&card);
    assert_eq!(taken(|| Raw::<16>::new(transport()).unwrap()), (state(16), 1));
    assert_eq!(taken(|| Raw::<256>::new(transport()).unwrap()), (state(256), 1));
    // Four pages hold seven receive buffers of this size, one page holds one.
    for (run, entries) in [(usize::MAX, 4 * PAGE_SIZE / STRIDE), (2, 2 * PAGE_SIZE / STRIDE)] {
        limit_runs(run);
        assert_eq!(
            taken(|| Net::<16>::new(transport(), BUFFER).unwrap()),
            (state(16) + pool(16, 16_usize.div_ceil(entries)), 5)
        );
    }
    limit_runs(usize::MAX);
    assert_eq!(taken(|| Net::<256>::new(transport(), BUFFER).unwrap()), (state(256) + pool(256, 37), 5));
}

/// Wherever the heap ends, that is an error, and what was taken before is given back.
#[test]
fn no_heap_is_an_error_at_each_block() {
    let card = Card::new();
    let before = has();
    for blocks in 0..5 {
        let net = with_blocks(blocks, || Net::<16>::new(TinyTransport(&card), BUFFER));
        assert_eq!((net.err(), has()), (Some(Error::DmaError), before), "with {blocks} blocks");
        assert!(!card.is_running(), "with {blocks} blocks");
    }
    assert!(with_blocks(5, || Net::<16>::new(TinyTransport(&card), BUFFER)).is_ok());
    let raw = with_blocks(0, || Raw::<16>::new(TinyTransport(&card)));
    assert_eq!((raw.err(), has()), (Some(Error::DmaError), before));
    assert!(with_blocks(1, || Raw::<16>::new(TinyTransport(&card))).is_ok());
    assert_eq!(has(), before);
}

/// The driver's end takes nothing of the heap: there is room for each block of the receive pool, in as many pieces as the `Hal`
/// may have.
#[test]
fn lent_buffers_outlive_the_driver_without_a_heap() {
    for run in [usize::MAX, 2, 1] {
        let card = Card::new();
        let before = has();
        let mut net = Net::<16>::new(TinyTransport(&card), BUFFER).unwrap();
        limit_runs(run);
        drop(net);
        net = Net::new(TinyTransport(&card), BUFFER).unwrap();
        limit_runs(usize::MAX);
        outlive(&card, net, before);
    }
}

/// Lends all buffers, drops the driver, and then the buffers: the last one gives the pool back.
fn outlive(card: &Card, mut net: Net<'_, 16>, before: Has) {
    let mut lent = Vec::with_capacity(16);
    (0..16).for_each(|_| card.deliver());
    lent.extend(std::iter::from_fn(|| net.receive().ok()));
    assert_eq!(lent.len(), 16);
    with_blocks(0, || drop(net));
    while let Some(buffer) = lent.pop() {
        assert!(has().pages > before.pages, "{} buffers are left", lent.len() + 1);
        drop(buffer);
    }
    drop(lent);
    assert_eq!(has(), before);
}

/// A device that comes up with larger queues has a larger receive pool, for which there must be room too.
#[test]
fn a_larger_pool_after_a_recovery() {
    let card = Card::new();
    let before = has();
    card.longest.set(4);
    let mut net = Net::<16>::new(TinyTransport(&card), BUFFER).unwrap();
    card.longest.set(256);
    assert_eq!(with_blocks(0, || net.recover()), Err(Error::DmaError));
    assert!(!card.is_running());
    assert_eq!(net.receive().err(), Some(Error::IoError));
    net.recover().unwrap();
    assert_eq!(net.info().rx_slots, 16);
    outlive(&card, net, before);
}
