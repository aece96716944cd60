// Compiled twice for each version, with `net` the original's module and ours. Only types count: nothing here is ever run.
//
// A function pointer has the exact type of arguments and result. A call inside `unsafe` shows that the function must be called
// so, because an unused `unsafe` is an error here; a call whose result is left alone shows that no `must_use` stands in the way.

use net::{VirtIONetRaw, VirtioNetHdr};
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::{InterruptStatus, SomeTransport, Transport};
use virtio_drivers::{Hal, Result};

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::MutexGuard;
use unreachable::{Like, NoHal};

type Raw<H, T, const N: usize> = VirtIONetRaw<H, T, N>;

#[expect(dead_code, reason = "compiled, not called")]
fn raw<H: Hal, T: Transport, const N: usize>() {
    let _: fn(T) -> Result<Raw<H, T, N>> = VirtIONetRaw::new;
    let _: fn(&mut Raw<H, T, N>) -> InterruptStatus = VirtIONetRaw::ack_interrupt;
    let _: fn(&mut Raw<H, T, N>) = VirtIONetRaw::disable_interrupts;
    let _: fn(&mut Raw<H, T, N>) = VirtIONetRaw::enable_interrupts;
    let _: fn(&Raw<H, T, N>) -> [u8; 6] = VirtIONetRaw::mac_address;
    let _: fn(&Raw<H, T, N>) -> bool = VirtIONetRaw::can_send;
    let _: fn(&Raw<H, T, N>, &mut [u8]) -> Result<usize> = VirtIONetRaw::fill_buffer_header;
    let _: unsafe fn(&mut Raw<H, T, N>, &[u8]) -> Result<u16> = VirtIONetRaw::transmit_begin;
    let _: fn(&mut Raw<H, T, N>) -> Option<u16> = VirtIONetRaw::poll_transmit;
    let _: unsafe fn(&mut Raw<H, T, N>, u16, &[u8]) -> Result<usize> = VirtIONetRaw::transmit_complete;
    let _: unsafe fn(&mut Raw<H, T, N>, &mut [u8]) -> Result<u16> = VirtIONetRaw::receive_begin;
    let _: fn(&Raw<H, T, N>) -> Option<u16> = VirtIONetRaw::poll_receive;
    let _: unsafe fn(&mut Raw<H, T, N>, u16, &mut [u8]) -> Result<(usize, usize)> = VirtIONetRaw::receive_complete;
    let _: fn(&mut Raw<H, T, N>, &[u8]) -> Result = VirtIONetRaw::send;
    let _: fn(&mut Raw<H, T, N>, &mut [u8]) -> Result<(usize, usize)> = VirtIONetRaw::receive_wait;
}

/// Every one of these must be called as `unsafe`, and no other.
#[expect(dead_code, reason = "compiled, not called")]
fn raw_calls<H: Hal, T: Transport, const N: usize>(net: &mut Raw<H, T, N>, buffer: &mut [u8]) -> Result {
    // SAFETY: this is never called.
    let token = unsafe { net.transmit_begin(buffer) }?;
    // SAFETY: this is never called.
    let _: usize = unsafe { net.transmit_complete(token, buffer) }?;
    // SAFETY: this is never called.
    let token = unsafe { net.receive_begin(buffer) }?;
    // SAFETY: this is never called.
    let (_, _): (usize, usize) = unsafe { net.receive_complete(token, buffer) }?;
    net.ack_interrupt();
    net.disable_interrupts();
    net.enable_interrupts();
    net.mac_address();
    net.can_send();
    net.fill_buffer_header(buffer)?;
    net.poll_transmit();
    net.poll_receive();
    net.send(buffer)?;
    net.receive_wait(buffer)?;
    Ok(())
}

/// Neither type asks its parameters to live for ever, nor forgets that they may live shorter.
#[expect(dead_code, reason = "compiled, not called")]
fn raw_of_a_shorter_transport<'a, H: Hal>(net: Raw<H, MmioTransport<'static>, 16>) -> Raw<H, MmioTransport<'a>, 16> {
    net
}

/// A kernel says which traits each of its types has.
macro_rules! has {
    ($type:ty: $($is:ident)* ! $($is_not:ident)*) => {
        static_assertions::assert_impl_all!($type: $($is),*);
        static_assertions::assert_not_impl_any!($type: $($is_not),*);
    };
}

/// The auto traits of a driver are those of its transport.
macro_rules! auto_traits {
    ($driver:ident) => {
        has!($driver<NoHal, Like<()>, 16>: Send Sync Unpin UnwindSafe RefUnwindSafe ! Clone Copy);
        has!($driver<NoHal, Like<Rc<()>>, 16>: Unpin UnwindSafe RefUnwindSafe ! Send Sync);
        has!($driver<NoHal, Like<Cell<()>>, 16>: Send Unpin UnwindSafe ! Sync RefUnwindSafe);
        has!($driver<NoHal, Like<MutexGuard<'static, ()>>, 16>: Sync Unpin UnwindSafe RefUnwindSafe ! Send);
        has!($driver<NoHal, Like<PhantomPinned>, 16>: Send Sync UnwindSafe RefUnwindSafe ! Unpin);
        has!($driver<NoHal, Like<&'static mut ()>, 16>: Send Sync Unpin RefUnwindSafe ! UnwindSafe);
        has!($driver<NoHal, MmioTransport<'static>, 256>: Send Sync Unpin ! Clone Copy);
        has!($driver<NoHal, PciTransport, 256>: Send Sync Unpin ! Clone Copy);
        has!($driver<NoHal, SomeTransport<'static>, 256>: Send Sync Unpin ! Clone Copy);
    };
}

auto_traits!(VirtIONetRaw);

mod header {
    use super::net::VirtioNetHdr;
    use std::fmt::Debug;
    use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, TryFromBytes, Unaligned};

    has!(VirtioNetHdr: Copy Clone Debug Default FromBytes FromZeros TryFromBytes Immutable IntoBytes KnownLayout Send Sync Unpin
        ! PartialEq PartialOrd Unaligned);
    const _: () = assert!(size_of::<VirtioNetHdr>() == 12 && align_of::<VirtioNetHdr>() == 2);
}

/// How a header shows itself.
pub fn shown(bytes: [u8; 12]) -> [String; 2] {
    let header: VirtioNetHdr = zerocopy::transmute!(bytes);
    [format!("{header:?}"), format!("{:#?}", VirtioNetHdr::default())]
}

pub const fn raw_size<T: Transport, const N: usize>() -> usize {
    size_of::<Raw<NoHal, T, N>>()
}

#[cfg(feature = "alloc")]
pub use with_heap::*;

#[cfg(feature = "alloc")]
mod with_heap {
    use super::*;
    use net::{RxBuffer, TxBuffer, VirtIONet};

    type Net<H, T, const N: usize> = VirtIONet<H, T, N>;

    #[expect(dead_code, reason = "compiled, not called")]
    fn drop_in<H: Hal, T: Transport, const N: usize>() {
        let _: fn(T, usize) -> Result<Net<H, T, N>> = VirtIONet::new;
        let _: fn(&mut Net<H, T, N>) -> InterruptStatus = VirtIONet::ack_interrupt;
        let _: fn(&mut Net<H, T, N>) = VirtIONet::disable_interrupts;
        let _: fn(&mut Net<H, T, N>) = VirtIONet::enable_interrupts;
        let _: fn(&Net<H, T, N>) -> [u8; 6] = VirtIONet::mac_address;
        let _: fn(&Net<H, T, N>) -> bool = VirtIONet::can_send;
        let _: fn(&Net<H, T, N>) -> bool = VirtIONet::can_recv;
        let _: fn(&mut Net<H, T, N>) -> Result<RxBuffer> = VirtIONet::receive;
        let _: fn(&mut Net<H, T, N>, RxBuffer) -> Result = VirtIONet::recycle_rx_buffer;
        let _: fn(&Net<H, T, N>, usize) -> TxBuffer = VirtIONet::new_tx_buffer;
        let _: fn(&mut Net<H, T, N>, TxBuffer) -> Result = VirtIONet::send;
    }

    #[expect(dead_code, reason = "compiled, not called")]
    fn drop_in_calls<H: Hal, T: Transport, const N: usize>(net: &mut Net<H, T, N>) -> Result {
        net.ack_interrupt();
        net.disable_interrupts();
        net.enable_interrupts();
        net.mac_address();
        net.can_send();
        net.can_recv();
        net.new_tx_buffer(60);
        TxBuffer::from(&[0; 60]);
        net.send(net.new_tx_buffer(60))?;
        let mut buffer = net.receive()?;
        buffer.packet_len();
        buffer.as_bytes();
        buffer.as_bytes_mut();
        buffer.header();
        buffer.packet();
        buffer.packet_mut();
        net.recycle_rx_buffer(buffer)
    }

    #[expect(dead_code, reason = "compiled, not called")]
    fn drop_in_of_a_shorter_transport<'a, H: Hal>(
        net: Net<H, MmioTransport<'static>, 16>,
    ) -> Net<H, MmioTransport<'a>, 16> {
        net
    }

    #[expect(dead_code, reason = "compiled, not called")]
    fn buffers() {
        let _: fn(&[u8]) -> TxBuffer = TxBuffer::from;
        let _: fn(&TxBuffer) -> usize = TxBuffer::packet_len;
        let _: fn(&TxBuffer) -> &[u8] = TxBuffer::packet;
        let _: fn(&mut TxBuffer) -> &mut [u8] = TxBuffer::packet_mut;
        let _: fn(&RxBuffer) -> usize = RxBuffer::packet_len;
        let _: fn(&RxBuffer) -> &[u8] = RxBuffer::as_bytes;
        let _: fn(&mut RxBuffer) -> &mut [u8] = RxBuffer::as_bytes_mut;
        let _: fn(&RxBuffer) -> VirtioNetHdr = RxBuffer::header;
        let _: fn(&RxBuffer) -> &[u8] = RxBuffer::packet;
        let _: fn(&mut RxBuffer) -> &mut [u8] = RxBuffer::packet_mut;
    }

    /// This one may be called while a constant is computed.
    #[expect(dead_code, reason = "compiled, not called")]
    const fn length(buffer: &RxBuffer) -> usize {
        buffer.packet_len()
    }

    auto_traits!(VirtIONet);
    has!(RxBuffer: Send Sync Unpin UnwindSafe RefUnwindSafe ! Clone Copy PartialEq);
    has!(TxBuffer: Send Sync Unpin UnwindSafe RefUnwindSafe ! Clone Copy PartialEq Default);

    /// Both buffers outlive everything.
    const _: fn() = || {
        fn is_static<B: 'static>() {}
        is_static::<RxBuffer>();
        is_static::<TxBuffer>();
    };

    pub const fn net_size<T: Transport, const N: usize>() -> usize {
        size_of::<Net<NoHal, T, N>>()
    }

    pub const fn buffer_sizes() -> [usize; 2] {
        [size_of::<RxBuffer>(), size_of::<TxBuffer>()]
    }
}
