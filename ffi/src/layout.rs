//! The sizes, alignments and offsets of every structure that crosses the boundary, as Rust sees them.
//!
//! `include/virtio_net.h` asserts the same numbers in C (`VIRTIO_NET_PROMISE`), for 64-bit machines.

#[cfg(target_pointer_width = "64")]
/// Fails to compile where a structure is not what both sides were promised.
macro_rules! promise {
    ($type:ty, size $size:literal, align $align:literal, $($field:ident $offset:literal),+ $(,)?) => {
        const _: () = assert!(size_of::<$type>() == $size, concat!("size of ", stringify!($type)));
        const _: () = assert!(align_of::<$type>() == $align, concat!("alignment of ", stringify!($type)));
        $(const _: () = assert!(offset_of!($type, $field) == $offset, concat!(stringify!($type), ".", stringify!($field)));)+
    };
}

#[cfg(target_pointer_width = "64")]
mod on_64_bits {
    use crate::sys::*;
    use core::mem::{align_of, offset_of, size_of};

    promise!(virtio_net_packet, size 64, align 8, cookie 0, data 8, device_address 16, length 24, flags 28, slot 32,
        csum_start 34, csum_offset 36, gso_size 38, header_length 40, gso_type 42, hash_type 43, segments 44, vlan 46,
        hash 48, reserved 52, timestamp_ns 56);
    promise!(virtio_net_options, size 56, align 8, size 0, flags 4, feature_mask 8, tx_slots 16, rx_slots 20,
        tx_buffer_bytes 24, rx_buffer_bytes 28, rx_headroom 32, log_level 36, reset_timeout_us 40, fallback_mac 44,
        reserved 50);
    promise!(virtio_net_info, size 72, align 8, size 0, state 4, device_features 8, features 16, legacy 24, link_up 28,
        mtu 32, max_frame_length 36, tx_slots 40, rx_slots 44, tx_buffer_bytes 48, rx_buffer_bytes 52, header_length 56,
        mac 60, mac_source 66, reserved 67);
    promise!(virtio_net_statistics, size 168, align 8, size 0, reserved 4, tx_frames 8, tx_bytes 16, tx_completed 24,
        tx_kicks 32, tx_rekicks 40, tx_full 48, tx_lost 56, rx_frames 64, rx_bytes 72, rx_kicks 80, rx_rekicks 88,
        rx_dropped_short 96, rx_dropped_long 104, rx_dropped_header 112, rx_lost 120, queues_broken 128,
        device_needs_reset 136, resets 144, interrupts 152, quarantined_bytes 160);
    promise!(virtio_net_error_detail, size 32, align 8, size 0, code 4, field 8, queue 12, found 16, wanted 24);
    promise!(virtio_net_reaped, size 16, align 8, slot 0, length_and_flags 4, cookie 8);
    promise!(virtio_net_taken, size 16, align 8, length 0, next 4, cookie 8);
    promise!(virtio_net_dma, size 16, align 8, address 0, device_address 8);
    promise!(virtio_net_queue_memory, size 40, align 8, queue 0, size 4, vector 8, flags 12, descriptors 16,
        driver_area 24, device_area 32);
    promise!(virtio_net_platform, size 88, align 8, size 0, flags 4, dma_alloc 8, dma_free 16, share 24, unshare 32,
        sync_for_device 40, sync_for_cpu 48, now_us 56, relax 64, random 72, log 80);
    promise!(virtio_net_transport, size 136, align 8, size 0, flags 4, properties 8, device_type 16, read_features 24,
        write_features 32, get_status 40, set_status 48, set_guest_page_size 56, queue_max 64, queue_used 72,
        queue_set 80, queue_reset 88, notify 96, interrupt_ack 104, config_generation 112, config_read 120,
        config_write 128);
}
