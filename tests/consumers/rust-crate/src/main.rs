//! A kernel that finds its network card, prints the card's address, and answers ARP and ping until `q` is typed.
//!
//! It was written for `virtio_drivers::device::net::VirtIONet`; the `use` line of `VirtIONet` is all that knows of the other
//! driver.
#![no_std]
#![no_main]

extern crate alloc;

mod board;

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use board::println;
use core::panic::PanicInfo;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};
use virtio_net_c::VirtIONet;

const QUEUE_SIZE: usize = 64;
const BUFFER_BYTES: usize = 2048;

type Card = VirtIONet<Memory, MmioTransport<'static>, QUEUE_SIZE>;

/// Memory for DMA comes from the heap; device addresses are pointers.
struct Memory;

static PAGES_IN_USE: AtomicUsize = AtomicUsize::new(0);

fn layout(pages: usize) -> Layout {
    Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).expect("pages that fit the address space")
}

// SAFETY: `dma_alloc` gives zeroed pages that nobody else has, and all of RAM is mapped one to one.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: nobody asks for no pages.
        let pointer = NonNull::new(unsafe { alloc_zeroed(layout(pages)) }).expect("memory for DMA");
        PAGES_IN_USE.fetch_add(pages, Ordering::Relaxed);
        (pointer.as_ptr() as PhysAddr, pointer)
    }

    unsafe fn dma_dealloc(_: PhysAddr, pointer: NonNull<u8>, pages: usize) -> i32 {
        PAGES_IN_USE.fetch_sub(pages, Ordering::Relaxed);
        // SAFETY: the pointer is `dma_alloc`'s, for as many pages.
        unsafe { dealloc(pointer.as_ptr(), layout(pages)) };
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).expect("registers are not at address 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

fn find_card() -> Option<Card> {
    let transport = board::virtio_slots().find_map(|slot| {
        let registers = NonNull::new(slot as *mut VirtIOHeader)?;
        // SAFETY: the board's slots are mapped as device memory, and each is looked at once.
        let transport = unsafe { MmioTransport::new(registers, board::VIRTIO_SLOT_BYTES) }.ok()?;
        (transport.device_type() == DeviceType::Network).then_some(transport)
    })?;
    Some(Card::new(transport, BUFFER_BYTES).expect("a card that can be set up"))
}

/// smoltcp answers ARP and ping by itself; no clock is needed for that.
fn serve(card: &mut Card) {
    let mut interface =
        Interface::new(Config::new(EthernetAddress(card.mac_address()).into()), card, Instant::ZERO);
    interface.update_ip_addrs(|addresses| {
        let _ = addresses.push(IpCidr::new(IpAddress::v4(192, 168, 77, 2), 16));
    });
    let mut sockets = SocketSet::new(&mut [][..]);
    while board::typed() != Some(b'q') {
        interface.poll(Instant::ZERO, card, &mut sockets);
    }
}

aarch64_rt::entry!(main, 64);

fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    match find_card() {
        Some(mut card) => {
            let [a, b, c, d, e, f] = card.mac_address();
            println!("VirtIO Net: MAC={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            println!("VirtIO Net: {}", if card.info().legacy { "legacy" } else { "modern" });
            serve(&mut card);
            let stats = card.stats();
            println!("Received: {}, sent: {}", stats.rx_frames, stats.tx_frames);
        }
        None => println!("VirtIO Net: no card"),
    }
    println!("Closed, pages in use: {}", PAGES_IN_USE.load(Ordering::Relaxed));
    board::power_off()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("PANIC: {info}");
    board::power_off()
}
