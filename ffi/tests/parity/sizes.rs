// Sizes and texts of the two sides, side by side.

#[test]
fn a_header_shows_itself_as_the_original_does() {
    let bytes = [1, 4, 3, 2, 5, 4, 7, 6, 9, 8, 2, 1];
    assert_eq!(ours::shown(bytes), original::shown(bytes));
}

/// The drop-ins are returned by value, on stacks that were made for the original, and kept in structures that have room for it:
/// they are no larger, for every transport and every queue.
#[cfg(feature = "alloc")]
#[test]
fn no_larger_than_the_original() {
    use virtio_drivers::transport::{SomeTransport, mmio::MmioTransport, pci::PciTransport};
    macro_rules! sizes {
        ($side:ident $size:literal) => {
            [
                $side::net_size::<MmioTransport<'static>, $size>(),
                $side::net_size::<PciTransport, $size>(),
                $side::net_size::<SomeTransport<'static>, $size>(),
                $side::raw_size::<MmioTransport<'static>, $size>(),
                $side::raw_size::<PciTransport, $size>(),
                $side::raw_size::<SomeTransport<'static>, $size>(),
            ]
        };
    }
    macro_rules! compare {
        ($($size:literal)+) => {$({
            let (ours, theirs) = (sizes!(ours $size), sizes!(original $size));
            let no_larger = ours.iter().zip(&theirs).all(|(ours, theirs)| ours <= theirs);
            assert!(no_larger, "queues of {}: {ours:?} bytes, the original {theirs:?}", $size);
            let small = ours[..3].iter().all(|size| *size <= 64) && ours[3..].iter().all(|size| *size <= 256);
            assert!(small, "as docs/drop-in.md says");
        })+};
    }
    compare!(1 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768);
    for (ours, theirs) in ours::buffer_sizes().iter().zip(original::buffer_sizes()) {
        assert!(*ours <= theirs);
    }
}

/// Without a heap ours is larger: by what the C driver keeps for a card, which is the same for each queue size. (The original is
/// built with a heap here; without one it has 32 bytes an entry less.)
#[cfg(not(feature = "alloc"))]
#[test]
fn the_raw_drop_in_is_larger_by_a_card() {
    use virtio_drivers::transport::mmio::MmioTransport;
    type T = MmioTransport<'static>;
    let sizes = |ours: usize, theirs: usize| (ours - theirs, ours, theirs);
    for (more, ours, theirs) in [
        sizes(ours::raw_size::<T, 16>(), original::raw_size::<T, 16>()),
        sizes(ours::raw_size::<T, 256>(), original::raw_size::<T, 256>()),
        sizes(ours::raw_size::<T, 1024>(), original::raw_size::<T, 1024>()),
    ] {
        assert_eq!(more, 816, "{ours} bytes, the original {theirs}; as docs/drop-in.md says");
    }
}
