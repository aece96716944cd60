//! What an image grows by with a network driver. It is linked, never run: every call that a kernel makes is there, with arguments
//! that the compiler cannot know.
#![no_std]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod image {
    extern crate alloc;

    use alloc::alloc::{Layout, alloc_zeroed, dealloc};
    use alloc::boxed::Box;
    use core::alloc::GlobalAlloc;
    use core::hint::black_box;
    use core::panic::PanicInfo;
    use core::ptr::NonNull;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

    /// Memory that is never given back.
    struct Bump(AtomicUsize);

    #[global_allocator]
    static HEAP: Bump = Bump(AtomicUsize::new(0x4200_0000));

    // SAFETY: each block is handed out once.
    unsafe impl GlobalAlloc for Bump {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let bytes = layout.size() + layout.align();
            self.0.fetch_add(bytes, Ordering::Relaxed).next_multiple_of(layout.align()) as *mut u8
        }

        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        loop {
            core::hint::spin_loop();
        }
    }

    struct IdentityHal;

    fn layout(pages: usize) -> Layout {
        Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).unwrap_or(Layout::new::<u8>())
    }

    // SAFETY: the image is not run.
    unsafe impl Hal for IdentityHal {
        fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
            // SAFETY: as above.
            match NonNull::new(unsafe { alloc_zeroed(layout(pages)) }) {
                Some(pointer) => (pointer.as_ptr() as PhysAddr, pointer),
                None => (0, NonNull::dangling()),
            }
        }

        unsafe fn dma_dealloc(_: PhysAddr, pointer: NonNull<u8>, pages: usize) -> i32 {
            // SAFETY: as above.
            unsafe { dealloc(pointer.as_ptr(), layout(pages)) };
            0
        }

        unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
            NonNull::new(address as *mut u8).unwrap_or(NonNull::dangling())
        }

        unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
            buffer.cast::<u8>().as_ptr() as PhysAddr
        }

        unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
    }

    /// The heap and the Hal, which every kernel has.
    fn machine() {
        let (_, pointer) = IdentityHal::dma_alloc(black_box(1), BufferDirection::Both);
        // SAFETY: as above.
        unsafe { IdentityHal::dma_dealloc(0, pointer, black_box(1)) };
        drop(black_box(Box::new(black_box(1u8))));
    }

    #[cfg(feature = "transport")]
    mod with_transport {
        use super::*;
        use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
        use virtio_drivers::transport::{DeviceStatus, Transport};

        fn transport() -> Option<MmioTransport<'static>> {
            let header = NonNull::new(black_box(0x0a00_0000 as *mut VirtIOHeader))?;
            // SAFETY: as above.
            unsafe { MmioTransport::new(header, black_box(0x200)) }.ok()
        }

        /// What a driver of another device makes the kernel have already.
        pub fn exercise() -> Option<()> {
            let mut transport = transport()?;
            black_box(transport.device_type());
            black_box(transport.read_device_features());
            transport.write_driver_features(black_box(1));
            black_box(transport.max_queue_size(black_box(0)));
            transport.notify(black_box(0));
            black_box(transport.get_status());
            transport.set_status(black_box(DeviceStatus::DRIVER_OK));
            transport.set_guest_page_size(black_box(4096));
            black_box(transport.requires_legacy_layout());
            transport.queue_set(black_box(0), black_box(16), black_box(0), black_box(0), black_box(0));
            transport.queue_unset(black_box(0));
            black_box(transport.queue_used(black_box(0)));
            black_box(transport.ack_interrupt());
            black_box(transport.read_config_generation());
            black_box(transport.read_config_space::<u32>(black_box(0))).ok()?;
            Some(())
        }

        /// The same calls on either device.
        #[cfg(any(feature = "virtio-drivers-net", feature = "drop-in"))]
        pub fn network() -> Option<()> {
            #[cfg(not(feature = "drop-in"))]
            use virtio_drivers::device::net::{TxBuffer, VirtIONet};
            #[cfg(feature = "drop-in")]
            use virtio_net_c::{TxBuffer, VirtIONet};
            let mut net = Box::new(VirtIONet::<IdentityHal, _, 16>::new(transport()?, black_box(2048)).ok()?);
            black_box(net.mac_address());
            net.enable_interrupts();
            net.disable_interrupts();
            black_box(net.ack_interrupt());
            if black_box(net.can_send()) {
                net.send(TxBuffer::from(black_box(&[0; 60]))).ok()?;
                let mut buffer = net.new_tx_buffer(black_box(60));
                buffer.packet_mut().copy_from_slice(black_box(&[0; 60]));
                net.send(buffer).ok()?;
            }
            while black_box(net.can_recv()) {
                let mut buffer = net.receive().ok()?;
                black_box((buffer.packet_mut(), 0));
                net.recycle_rx_buffer(buffer).ok()?;
            }
            Some(())
        }
    }

    /// The driver with its own transport and without the heap.
    #[cfg(feature = "own-transport")]
    fn own() -> Option<()> {
        use virtio_net_c::{NetDevice, Options};
        let registers = NonNull::new(black_box(0x0a00_0000 as *mut u8))?;
        // SAFETY: as above.
        let mut net = unsafe { NetDevice::<IdentityHal, _, 16, 16>::new_mmio(registers, Options::new()) }.ok()?;
        black_box(net.mac_address());
        net.enable_interrupts(black_box(1)).ok()?;
        net.disable_interrupts(black_box(1)).ok()?;
        black_box(net.ack_interrupt());
        net.send(black_box(&[0; 60])).ok()?;
        let mut frame = net.reserve().ok()?;
        black_box((&mut frame[..], 0));
        frame.send(black_box(60)).ok()?;
        while let Some(frame) = net.peek().ok()? {
            black_box(&frame[..]);
        }
        let mut buffer = [0; 1518];
        black_box(net.receive(&mut buffer)).ok()?;
        Some(())
    }

    /// The image's entry.
    #[unsafe(no_mangle)]
    extern "C" fn _start() -> ! {
        machine();
        #[cfg(feature = "transport")]
        black_box(with_transport::exercise());
        #[cfg(any(feature = "virtio-drivers-net", feature = "drop-in"))]
        black_box(with_transport::network());
        #[cfg(feature = "own-transport")]
        black_box(own());
        loop {
            core::hint::spin_loop();
        }
    }
}
