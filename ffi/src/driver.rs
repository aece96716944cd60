//! The driver as a safe Rust type, without a heap and without a wait.

use super::frames::{Packets, RxBurst, RxFrame, TxBurst, TxFrame};
use super::lock::Lock;
use super::split::{Interrupts, Receiver, Transmitter};
use super::thunks::{Host, Pool, Tables};
use super::virtio_drivers::Hal;
use super::virtio_drivers::transport::Transport;
use crate::error::{Error, ErrorDetail};
use crate::sys::*;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit, size_of};
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

const FIXED_WORDS: usize = VIRTIO_NET_STORAGE_FIXED as usize / 8;
const SLOT_WORDS: usize = VIRTIO_NET_STORAGE_PER_SLOT as usize / 8;

/// The driver's storage, whose size C computes as `VIRTIO_NET_STORAGE_BYTES(TX, RX)`.
#[repr(C, align(64))]
struct Storage<const TX: usize, const RX: usize> {
    fixed: [Word; FIXED_WORDS],
    tx: [[Word; SLOT_WORDS]; TX],
    rx: [[Word; SLOT_WORDS]; RX],
}

/// Not an integer: C keeps pointers there, which a copy of integers would make mere numbers of.
type Word = MaybeUninit<u64>;

const _: () = assert!(align_of::<Storage<2, 2>>() == VIRTIO_NET_STORAGE_ALIGNMENT as usize);

/// What is agreed with the device, and what the driver has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Features that the device offers, a bit each.
    pub device_features: u64,
    /// Features that both agreed on.
    pub features: u64,
    /// The legacy interface.
    pub legacy: bool,
    /// Bytes after the Ethernet header.
    pub mtu: u16,
    /// The longest frame that can be sent, in bytes.
    pub max_frame_length: usize,
    /// Transmit slots.
    pub tx_slots: usize,
    /// Receive slots.
    pub rx_slots: usize,
    /// The longest frame that [`NetDevice::send`] copies, in bytes; 0 without a transmit pool.
    pub tx_buffer_bytes: usize,
    /// The longest frame that can be received, in bytes; 0 without a receive pool.
    pub rx_buffer_bytes: usize,
    /// Bytes of the virtio header in front of each frame, 10 or 12.
    pub header_length: usize,
}

/// Counters since the driver was made.
pub type Statistics = virtio_net_statistics;

/// The state of the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Frames can pass.
    Up,
    /// They cannot.
    Down,
}

/// What the driver is asked for. [`Options::new`] is a good choice for everything.
#[derive(Clone, Copy, Debug)]
pub struct Options(virtio_net_options);

impl Options {
    /// All defaults: a pool for frames of 1,518 bytes in both directions, every feature that the driver implements.
    #[must_use]
    pub fn new() -> Self {
        Self(virtio_net_options { size: size_of::<virtio_net_options>() as u32, ..Default::default() })
    }

    /// The longest frame that a transmit slot's buffer holds, 60 to 65,535 bytes; 0: 1,518.
    #[must_use]
    pub fn tx_buffer_bytes(mut self, bytes: u32) -> Self {
        self.0.tx_buffer_bytes = bytes;
        self
    }

    /// The longest frame that a receive slot's buffer holds, 1,514 to 65,535 bytes; 0: 1,518.
    #[must_use]
    pub fn rx_buffer_bytes(mut self, bytes: u32) -> Self {
        self.0.rx_buffer_bytes = bytes;
        self
    }

    /// No pools: every buffer is the caller's.
    pub(crate) fn without_pools(mut self) -> Self {
        self.0.tx_buffer_bytes = VIRTIO_NET_NO_POOL;
        self.0.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
        self
    }

    /// Header fields that were not agreed on are ignored, instead of costing the frame.
    #[must_use]
    pub fn trust_header(mut self) -> Self {
        self.0.flags |= VIRTIO_NET_OPTION_TRUST_HEADER;
        self
    }

    /// Interrupts from the start for the directions in `which`, `VIRTIO_NET_IRQ_*`: not even the first completion is missed.
    /// Without it there are none until [`NetDevice::enable_interrupts`].
    #[must_use]
    pub fn interrupts(mut self, which: u32) -> Self {
        self.0.flags &= !(VIRTIO_NET_OPTION_IRQ_RX | VIRTIO_NET_OPTION_IRQ_TX);
        if which & VIRTIO_NET_IRQ_RX != 0 {
            self.0.flags |= VIRTIO_NET_OPTION_IRQ_RX;
        }
        if which & VIRTIO_NET_IRQ_TX != 0 {
            self.0.flags |= VIRTIO_NET_OPTION_IRQ_TX;
        }
        self
    }

    /// The MTU that the device names is told ([`NetDevice::mtu`]) and not agreed on: longer frames may be sent, and the device
    /// may drop them.
    #[must_use]
    pub fn mtu_as_advice(mut self) -> Self {
        self.0.flags |= VIRTIO_NET_OPTION_MTU_ADVICE;
        self
    }

    /// Features as the original asks for them, where the caller has named none: it does not agree on an MTU.
    pub(crate) fn original_features(self) -> Self {
        if self.0.feature_mask == 0 { self.mtu_as_advice() } else { self }
    }

    /// Bytes in front of a received frame beyond the 16 that end at a 16-byte boundary: 2 aligns an IP header. At most 256.
    #[must_use]
    pub fn rx_headroom(mut self, bytes: u32) -> Self {
        self.0.rx_headroom = bytes;
        self
    }

    /// The features that may be used, a bit each; 0: all that the driver implements. VERSION_1 is always used where offered.
    #[must_use]
    pub fn feature_mask(mut self, mask: u64) -> Self {
        self.0.feature_mask = mask;
        self
    }

    /// The address of a device that has none of its own: a unicast one. All zero: none is given.
    #[must_use]
    pub fn fallback_mac(mut self, mac: [u8; 6]) -> Self {
        self.0.fallback_mac = mac;
        self
    }

    /// A local address as the fallback, where none was given. `Hal` has no random numbers.
    pub(crate) fn with_some_mac(self) -> Self {
        if self.0.fallback_mac != [0; 6] {
            return self;
        }
        let [high, low] = crate::CARDS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        self.fallback_mac([2, 0, 0, 0, high, low])
    }

    /// Log lines up to this `VIRTIO_NET_LOG_*` level; 0: errors and warnings. They need the feature `log`.
    #[must_use]
    pub fn log_level(mut self, level: u32) -> Self {
        self.0.log_level = level;
        self
    }

    /// How many status reads a reset may take, 10,000,000 at most; 0: 100,000.
    #[must_use]
    pub fn reset_limit(mut self, reads: u32) -> Self {
        self.0.reset_timeout_us = reads;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Stands for the driver's own MMIO transport where a type of transport is asked for: `NetDevice<H, Mmio, TX, RX>`, from
/// [`NetDevice::new_mmio`]. Registers are then reached from C, without a call to Rust for each.
#[derive(Debug)]
pub struct Mmio(());

/// One network card with up to `TX` and `RX` slots, powers of two from 1 to 32,768.
///
/// The value may be moved freely. No call waits, but [`NetDevice::new`], [`NetDevice::recover`] and `drop` for a reset, with a
/// limit.
///
/// Dropping it resets the device and gives its memory back to the `Hal`. Where the device does not confirm the reset, it may
/// still use that memory, which is therefore never given back, and the transport is not dropped.
pub struct NetDevice<H: Hal, T, const TX: usize, const RX: usize> {
    storage: Storage<TX, RX>,
    host: Host<T>,
    hal: PhantomData<fn() -> H>,
}

impl<H: Hal, T: Transport, const TX: usize, const RX: usize> NetDevice<H, T, TX, RX> {
    /// Sets the device behind `transport` up and leaves it running.
    ///
    /// # Errors
    /// What `virtio_net_init` documents. The transport is dropped, unless the device is not reset afterwards and may still use
    /// memory: the drop may wait for that without a limit.
    pub fn new(transport: T, options: Options) -> Result<Self, Error> {
        Self::made(transport, |device| device.set_up_over(options, Tables::<H, T>::SHARED))
    }

    /// The same for a driver that is never split for longer than a call, so that its transport needs no lock, in its place.
    #[cfg(feature = "alloc")]
    pub(crate) fn set_up_whole_in(
        place: &mut MaybeUninit<Self>,
        transport: T,
        options: Options,
    ) -> Result<(), Error> {
        let device = place.as_mut_ptr();
        // SAFETY: it is a field of the place.
        unsafe { (&raw mut (*device).host).write(Host::new(transport)) };
        // SAFETY: the host was just written, and the storage may hold anything.
        let device = unsafe { &mut *device };
        let done = device.set_up_over(options, Tables::<H, T>::WHOLE);
        done.inspect_err(|error| device.end_and_drop_transport(error.code()))
    }

    /// The same for one that is [`Self::vacant`]. After an error it must not be dropped, but what is returned with it.
    #[cfg(not(feature = "alloc"))]
    pub(crate) fn set_up_whole(&mut self, options: Options) -> Result<(), (Error, Option<T>)> {
        let done = self.set_up_over(options, Tables::<H, T>::WHOLE);
        done.map_err(|error| (error, self.end_and_take_transport(error.code())))
    }

    fn set_up_over(&mut self, options: Options, table: &'static virtio_net_transport) -> Result<(), Error> {
        let done = self.set_up(options, |storage, bytes, host, wanted| {
            let (transport, platform) = (table, Tables::<H, T>::PLATFORM);
            // SAFETY: the storage is aligned and of the size told, the tables are static, and the context is the host that they
            // expect.
            unsafe {
                virtio_net_init_versioned(VIRTIO_NET_ABI_VERSION, storage, bytes, transport, platform, host, wanted)
            }
        });
        // The error is the first one, which hides a last reset that the device ignored.
        done.inspect_err(|_| self.host.given_up = !self.host.transport.get_status().is_empty())
    }
}

impl<H: Hal, const TX: usize, const RX: usize> NetDevice<H, Mmio, TX, RX> {
    /// Sets the device up over the driver's own MMIO transport, legacy or modern, and leaves it running.
    ///
    /// # Errors
    /// What `virtio_net_init_mmio` documents: `MAGIC` and `DEVICE_VERSION` besides those of [`NetDevice::new`].
    ///
    /// # Safety
    /// `registers` is the first register of a virtio-mmio slot (virtio 1.2, 4.2.2), 4-byte aligned, mapped as device memory for
    /// 512 bytes or to the end of the device's configuration space, for as long as the driver lives. Nobody else uses the device
    /// meanwhile.
    pub unsafe fn new_mmio(registers: NonNull<u8>, options: Options) -> Result<Self, Error> {
        let init = |storage, bytes, host, wanted: &_| {
            let (version, registers) = (VIRTIO_NET_ABI_VERSION, registers.as_ptr().cast());
            let platform = Tables::<H, Mmio>::PLATFORM;
            // SAFETY: as for `new`; the registers are what the caller promises.
            unsafe { virtio_net_init_mmio_versioned(version, storage, bytes, registers, platform, host, wanted) }
        };
        Self::made(Mmio(()), |device| device.set_up(options, init))
    }
}

impl<H: Hal, T, const TX: usize, const RX: usize> NetDevice<H, T, TX, RX> {
    /// What [`Self::set_up`] makes a driver of, and what must not be dropped before. The storage holds anything: C clears what it
    /// uses of it.
    #[inline(always)]
    pub(crate) fn vacant(transport: T) -> Self {
        let storage = Storage {
            fixed: [const { Word::uninit() }; FIXED_WORDS],
            tx: [const { [const { Word::uninit() }; SLOT_WORDS] }; TX],
            rx: [const { [const { Word::uninit() }; SLOT_WORDS] }; RX],
        };
        Self { storage, host: Host::new(transport), hal: PhantomData }
    }

    /// The driver, set up in the result, which is moved once, to the caller.
    #[inline(always)]
    fn made(transport: T, set_up: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<Self, Error> {
        let mut made = Ok(Self::vacant(transport));
        if let Ok(device) = &mut made
            && let Err(error) = set_up(device)
        {
            let transport = device.end_and_take_transport(error.code());
            // SAFETY: what was not set up is not dropped.
            unsafe { (&raw mut made).write(Err(error)) };
            drop(transport);
        }
        made
    }

    /// What the constructors share. `init` calls C with the storage, its bytes, the context and the options. After an error the
    /// value must not be dropped, only its transport.
    fn set_up(
        &mut self,
        options: Options,
        init: impl FnOnce(*mut virtio_net, u64, *mut c_void, &virtio_net_options) -> i32,
    ) -> Result<(), Error> {
        let wanted = virtio_net_options { tx_slots: slots(TX), rx_slots: slots(RX), ..options.0 };
        let bytes = size_of::<Storage<TX, RX>>() as u64;
        let context: *mut c_void = (&raw mut self.host).cast();
        context.expose_provenance();
        let code = init((&raw mut self.storage).cast(), bytes, context, &wanted);
        Error::check(code).map(drop)
    }

    /// The handle, with the context set to where the host is now.
    pub(crate) fn handle(&mut self) -> *mut virtio_net {
        let handle = (&raw mut self.storage).cast();
        let context: *mut c_void = (&raw mut self.host).cast();
        context.expose_provenance();
        // SAFETY: the storage holds a driver that was set up.
        unsafe { virtio_net_set_context(handle, context) };
        handle
    }

    /// The handle of a driver that has not moved since [`Self::handle`] was called last.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn handle_in_place(&mut self) -> *mut virtio_net {
        // What C hands back is the address of the host, and stands for the borrow that is exposed last.
        (&raw mut self.host).expose_provenance();
        (&raw mut self.storage).cast()
    }

    /// The handle for calls that change something, but reach no register: no function is called that needs the context.
    #[inline]
    pub(crate) fn quiet_handle(&mut self) -> *mut virtio_net {
        (&raw mut self.storage).cast()
    }

    /// The handle for calls that reach no register.
    #[inline]
    pub(crate) fn shared_handle(&self) -> *const virtio_net {
        (&raw const self.storage).cast()
    }

    /// The handle of a driver whose context is set.
    ///
    /// # Safety
    /// The driver is there.
    pub(crate) unsafe fn net_of(device: NonNull<Self>) -> NonNull<virtio_net> {
        // SAFETY: by the caller's promise; nothing is read.
        unsafe { NonNull::new_unchecked((&raw mut (*device.as_ptr()).storage).cast()) }
    }

    /// The lock of a driver's transport.
    ///
    /// # Safety
    /// The driver is there, and stays in place for `'a`.
    pub(crate) unsafe fn lock_of<'a>(device: NonNull<Self>) -> &'a Lock<Pool> {
        // SAFETY: by the caller's promise; nobody has a mutable reference to the lock.
        unsafe { &(*device.as_ptr()).host.lock }
    }

    /// What C calls. It is in no call while the driver can be borrowed.
    #[inline]
    pub(crate) fn host(&mut self) -> &mut Host<T> {
        &mut self.host
    }

    /// Parts the driver into its transmit side, its receive side and its interrupt, which different processors may use at once.
    ///
    /// Transmit and receive share nothing that changes, so there is no lock on the way of a packet. The transport is locked for
    /// the moment of a notification, of an acknowledgement, and of the rare look at the device's status. The driver is borrowed,
    /// and stays in place, until the handles are gone; what needs all of it ([`Self::recover`], [`Self::check`],
    /// [`Self::last_error`]) waits for that.
    ///
    /// ```standalone_crate
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/doc.rs"));
    /// # fn main() -> Result<(), virtio_net_c::Error> {
    /// # let (_plug, card, transport) = plug();
    /// use virtio_net_c::{NetDevice, Options};
    /// use std::thread;
    ///
    /// let mut net = NetDevice::<MyHal, _, 256, 256>::new(transport, Options::new())?;
    /// let (mut tx, mut rx, mut interrupts) = net.split();
    /// # assert!(card.deliver(&[1; 64]));
    /// thread::scope(|scope| {
    ///     scope.spawn(move || tx.send(&[0x55; 60]));
    ///     scope.spawn(move || rx.receive(&mut [0; 1518]));
    ///     scope.spawn(move || interrupts.acknowledge());
    /// });
    /// net.check()?; // whole again
    /// # let stats = net.stats();
    /// # assert_eq!((stats.tx_frames, stats.rx_frames, card.sent().len()), (1, 1, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The compiler refuses what would not work. The driver as a whole while it is split:
    ///
    /// ```compile_fail,E0499
    /// # use virtio_net_c::virtio_drivers::{Hal, transport::Transport};
    /// # use virtio_net_c::{Error, NetDevice, Packets};
    /// # fn example<H: Hal, T: Transport>(mut net: NetDevice<H, T, 16, 16>) -> Result<(), Error> {
    /// let (mut tx, _rx, _interrupts) = net.split();
    /// net.recover()?;
    /// tx.send(&[0; 60])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Two handles of a kind:
    ///
    /// ```compile_fail,E0499
    /// # use virtio_net_c::virtio_drivers::{Hal, transport::Transport};
    /// # use virtio_net_c::{Error, NetDevice, Packets};
    /// # fn example<H: Hal, T: Transport>(mut net: NetDevice<H, T, 16, 16>) -> Result<(), Error> {
    /// let (mut tx, _, _) = net.split();
    /// let (mut other, _, _) = net.split();
    /// tx.send(&[0; 60])?;
    /// other.send(&[0; 60])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A handle that outlives the driver, or sees it move:
    ///
    /// ```compile_fail,E0505
    /// # use virtio_net_c::virtio_drivers::{Hal, transport::Transport};
    /// # use virtio_net_c::{Error, NetDevice, Packets};
    /// # fn example<H: Hal, T: Transport>(mut net: NetDevice<H, T, 16, 16>) -> Result<(), Error> {
    /// let (mut tx, _, _) = net.split();
    /// drop(net);
    /// tx.send(&[0; 60])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A handle on another thread, where the transport must stay on its own:
    ///
    /// ```compile_fail,E0277
    /// # use virtio_net_c::virtio_drivers::{Hal, transport::Transport};
    /// # use virtio_net_c::{Error, NetDevice, Packets};
    /// # fn example<H: Hal, T: Transport>(mut net: NetDevice<H, T, 16, 16>) -> Result<(), Error> {
    /// let (mut tx, _, _) = net.split();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(move || tx.send(&[0; 60]));
    /// });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Each of them is accepted without its mistake:
    ///
    /// ```no_run
    /// # use virtio_net_c::virtio_drivers::{Hal, transport::Transport};
    /// # use virtio_net_c::{Error, NetDevice, Packets};
    /// # fn example<H: Hal, T: Transport>(mut net: NetDevice<H, T, 16, 16>) -> Result<(), Error> {
    /// # fn is_send<T: Send>(_: &T) {}
    /// # fn sendable<H: Hal, T: Transport + Send>(mut net: NetDevice<H, T, 16, 16>) {
    /// let (tx, rx, interrupts) = net.split();
    /// is_send(&tx);
    /// is_send(&rx);
    /// is_send(&interrupts);
    /// # }
    /// let (mut tx, _rx, _interrupts) = net.split();
    /// tx.send(&[0; 60])?;
    /// net.recover()?;
    /// let (mut other, _, _) = net.split();
    /// other.send(&[0; 60])?;
    /// drop(net);
    /// # Ok(())
    /// # }
    /// ```
    pub fn split(&mut self) -> (Transmitter<'_, T>, Receiver<'_, T>, Interrupts<'_, H, T, TX, RX>) {
        self.handle();
        let interrupts = Interrupts::new(self);
        let net = interrupts.net();
        // SAFETY: the context was just set, and the driver is borrowed for as long as the handles live, of which there is one
        // each.
        unsafe { (Transmitter::new(net), Receiver::new(net), interrupts) }
    }

    fn transmitter(&mut self) -> Transmitter<'_, T> {
        self.split().0
    }

    fn receiver(&mut self) -> Receiver<'_, T> {
        self.split().1
    }

    /// The card's address.
    #[must_use]
    pub fn mac_address(&self) -> [u8; 6] {
        let mut mac = [0; 6];
        // SAFETY: the handle is that of a driver, and there is room for six bytes.
        let _ = unsafe { virtio_net_get_mac(self.shared_handle(), mac.as_mut_ptr()) };
        mac
    }

    /// The features that the driver and the device agreed on, a bit each (`VIRTIO_NET_FEATURE_*` in [`crate::sys`] are the bits'
    /// numbers).
    #[must_use]
    pub fn features(&self) -> u64 {
        self.info().features
    }

    /// Bytes that a frame may carry after its Ethernet header: what the device says, or 1,500.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.info().mtu
    }

    /// What was agreed with the device.
    #[must_use]
    pub fn info(&self) -> Info {
        // SAFETY: the handle is that of a driver.
        unsafe { info_of(NonNull::from(&self.storage).cast()) }
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Statistics {
        // SAFETY: the handle is that of a driver.
        unsafe { stats_of(NonNull::from(&self.storage).cast()) }
    }

    /// What caused the last error that the device or the host is to blame for.
    #[must_use]
    pub fn last_error(&self) -> Option<ErrorDetail> {
        let size = size_of::<virtio_net_error_detail>() as u32;
        let mut detail = virtio_net_error_detail { size, ..Default::default() };
        // SAFETY: the handle is that of a driver, and `detail` says its size.
        let _ = unsafe { virtio_net_get_last_error(self.shared_handle(), &mut detail) };
        ErrorDetail::from_c(&detail)
    }

    /// Asks the device for the state of the link.
    ///
    /// # Errors
    /// `STATE`, `CONFIG_SPACE`, `CONFIG_UNSTABLE`.
    pub fn link(&mut self) -> Result<Link, Error> {
        self.split().2.link()
    }

    /// Asks the device whether it still works.
    ///
    /// # Errors
    /// `NEEDS_RESET`, `DEVICE_GONE`.
    pub fn check(&mut self) -> Result<(), Error> {
        // SAFETY: the handle is that of a driver.
        Error::check(unsafe { virtio_net_check(self.handle()) }).map(drop)
    }

    /// Resets the device and sets it up again: the way out of `NEEDS_RESET`. Frames in flight are lost and counted.
    ///
    /// # Errors
    /// What `virtio_net_recover` documents. It may be tried again.
    pub fn recover(&mut self) -> Result<(), Error> {
        // SAFETY: the handle is that of a driver.
        Error::check(unsafe { virtio_net_recover(self.handle()) }).map(drop)
    }

    /// How many frames could be sent now, completed ones counted that nobody has taken back yet. 0 where the device needs a
    /// reset.
    #[must_use]
    pub fn tx_free(&self) -> usize {
        // SAFETY: the handle is that of a driver.
        Error::check(unsafe { virtio_net_tx_free(self.shared_handle(), 0) }).unwrap_or(0) as usize
    }

    /// Frames that the device has not sent yet, as far as it tells.
    #[must_use]
    pub fn tx_in_flight(&self) -> usize {
        // SAFETY: the handle is that of a driver.
        Error::check(unsafe { virtio_net_tx_in_flight(self.shared_handle(), 0) }).unwrap_or(0) as usize
    }

    /// Received frames that wait, as far as the device tells. 0 where it needs a reset, which the next call that receives says.
    #[must_use]
    pub fn rx_ready(&self) -> usize {
        // SAFETY: the handle is that of a driver.
        Error::check(unsafe { virtio_net_rx_ready(self.shared_handle(), 0) }).unwrap_or(0) as usize
    }

    /// Whether frames can be sent at all: the device is up, and its transmit queue not broken.
    pub(crate) fn is_usable(&self) -> bool {
        // SAFETY: the handle is that of a driver.
        unsafe { virtio_net_tx_free(self.shared_handle(), 0) >= 0 }
    }

    /// Whether a call that looks for received or sent frames has something to do.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_due(&self) -> bool {
        // SAFETY: the handle is that of a driver.
        unsafe { virtio_net_due(self.shared_handle(), 0) > 0 }
    }

    /// Copies a frame of 14 bytes or more to a slot and posts it.
    ///
    /// # Errors
    /// `FRAME_EMPTY` below 14 bytes; `FRAME_TOO_LONG` above [`Info::tx_buffer_bytes`]; `QUEUE_FULL`; `NEEDS_RESET`.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), Error> {
        self.transmitter().send(frame)
    }

    /// Copies frames to slots and posts them in order, with one notification at most. Returns how many: fewer than all where the
    /// slots do not suffice, or the next one cannot be sent.
    ///
    /// # Errors
    /// None was posted, for the reason that [`Self::send`] would give for the first.
    pub fn send_burst<F: AsRef<[u8]>>(&mut self, frames: &[F]) -> Result<usize, Error> {
        self.transmitter().send_burst(frames)
    }

    /// Reserves a slot, to write a frame in place. Dropping it without [`TxFrame::send`] gives the slot back.
    ///
    /// # Errors
    /// `QUEUE_FULL`, `NEEDS_RESET`.
    pub fn reserve(&mut self) -> Result<TxFrame<'_>, Error> {
        self.transmitter().into_frame()
    }

    /// Reserves up to `count` slots and no more than `room` is for, to write frames in place and send them together.
    ///
    /// # Errors
    /// `QUEUE_FULL` where not even one is free; `NEEDS_RESET`.
    pub fn reserve_burst<'b, const N: usize>(
        &'b mut self,
        room: &'b mut Packets<N>,
        count: usize,
    ) -> Result<TxBurst<'b>, Error> {
        self.transmitter().into_burst(room, count)
    }

    /// Takes completed frames back, and repeats a notification that got lost. Call it now and then while frames are in flight and
    /// nothing is sent.
    ///
    /// # Errors
    /// `NEEDS_RESET`.
    pub fn poll_tx(&mut self) -> Result<(), Error> {
        self.transmitter().poll()
    }

    /// Copies the next frame to `buffer` and returns its length, or `None` where there is none.
    ///
    /// # Errors
    /// `BUFFER_TOO_SMALL`, and the frame stays: [`Info::rx_buffer_bytes`] always suffice. `NEEDS_RESET`.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        self.receiver().receive(buffer)
    }

    /// Copies the next frames to `buffers`, writes their lengths to `lengths`, and returns how many: as many as there are, or as
    /// both have places for.
    ///
    /// # Errors
    /// None was copied: `BUFFER_TOO_SMALL` for the first, and the frame stays; `NEEDS_RESET`.
    pub fn receive_burst<B: AsMut<[u8]>>(
        &mut self,
        buffers: &mut [B],
        lengths: &mut [usize],
    ) -> Result<usize, Error> {
        self.receiver().receive_burst(buffers, lengths)
    }

    /// Lends the next frame in place, or `None` where there is none. Dropping it posts its buffer again.
    ///
    /// # Errors
    /// `NEEDS_RESET`.
    pub fn peek(&mut self) -> Result<Option<RxFrame<'_>>, Error> {
        self.receiver().into_frame()
    }

    /// Lends the next frames in place, as many as there are or as `room` is for. Dropping the burst posts their buffers again.
    ///
    /// # Errors
    /// `NEEDS_RESET`.
    pub fn peek_burst<'b, const N: usize>(&'b mut self, room: &'b mut Packets<N>) -> Result<RxBurst<'b>, Error> {
        self.receiver().into_burst(room)
    }

    /// Asks for interrupts at completions of the directions in `which`, `VIRTIO_NET_IRQ_*`. Returns the directions that have
    /// completions waiting, which may never interrupt.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `NEEDS_RESET`.
    pub fn enable_interrupts(&mut self, which: u32) -> Result<u32, Error> {
        // SAFETY: the handle is that of a driver.
        Error::check(unsafe { virtio_net_irq_enable(self.handle(), 0, which, 0) })
    }

    /// Asks for no interrupts of the directions in `which`.
    ///
    /// # Errors
    /// As [`NetDevice::enable_interrupts`].
    pub fn disable_interrupts(&mut self, which: u32) -> Result<(), Error> {
        // SAFETY: the handle is that of a driver.
        Error::check(unsafe { virtio_net_irq_disable(self.handle(), 0, which, 0) }).map(drop)
    }

    /// Acknowledges the interrupt, before it is handled. Returns `VIRTIO_NET_EVENT_*` bits; 0: it was not this device's.
    pub fn ack_interrupt(&mut self) -> u32 {
        self.split().2.acknowledge()
    }

    /// To be dropped as it is: its owner asked for a reset that the device did not confirm, and has left what the device may use
    /// where it is. Another reset, which might be confirmed, would come too late for that.
    pub(crate) fn give_up(&mut self) {
        self.host.given_up = true;
    }

    /// [`Self::end`], and drops the transport where that may be.
    fn end_and_drop_transport(&mut self, code: i32) {
        if self.end(code) {
            // SAFETY: the driver is at its end and uses the transport no more; nobody else drops it.
            unsafe { ManuallyDrop::drop(&mut self.host.transport) };
        }
    }

    /// [`Self::end`], and the transport where it may be dropped, which is for when this value is gone.
    fn end_and_take_transport(&mut self, code: i32) -> Option<T> {
        // SAFETY: as above.
        self.end(code).then(|| unsafe { ManuallyDrop::take(&mut self.host.transport) })
    }

    /// The last of a driver whose close, or set-up in vain, had this result. Once for each: it counts the memory that the device
    /// may still use. Whether the device is known to be reset; where it is not, the drop of a transport may wait without a limit.
    fn end(&mut self, code: i32) -> bool {
        let confirmed = code != VIRTIO_NET_ERROR_RESET_TIMEOUT && code != VIRTIO_NET_ERROR_DEVICE_GONE;
        crate::quarantine(self.host.dma_bytes);
        confirmed && !self.host.given_up && self.host.dma_bytes == 0
    }
}

/// # Safety
/// `net` is a driver, which stays in place, and no call that needs all of it is on its way.
pub(crate) unsafe fn info_of(net: NonNull<virtio_net>) -> Info {
    let mut info = virtio_net_info { size: size_of::<virtio_net_info>() as u32, ..Default::default() };
    // SAFETY: by the caller's promise, and `info` says its size.
    let _ = unsafe { virtio_net_get_info(net.as_ptr(), &mut info) };
    Info {
        device_features: info.device_features,
        features: info.features,
        legacy: info.legacy != 0,
        mtu: u16::try_from(info.mtu).unwrap_or(u16::MAX),
        max_frame_length: info.max_frame_length as usize,
        tx_slots: info.tx_slots as usize,
        rx_slots: info.rx_slots as usize,
        tx_buffer_bytes: info.tx_buffer_bytes as usize,
        rx_buffer_bytes: info.rx_buffer_bytes as usize,
        header_length: info.header_length as usize,
    }
}

/// # Safety
/// As [`info_of`].
pub(crate) unsafe fn stats_of(net: NonNull<virtio_net>) -> Statistics {
    let mut statistics = Statistics { size: size_of::<Statistics>() as u32, ..Default::default() };
    // SAFETY: by the caller's promise, and `statistics` says its size.
    let _ = unsafe { virtio_net_get_statistics(net.as_ptr(), &mut statistics) };
    statistics
}

/// # Safety
/// `net` is a driver whose context is set, which stays in place; no other call of the interrupt group, nor one that needs the
/// whole driver, is on its way.
pub(crate) unsafe fn link_of(net: NonNull<virtio_net>) -> Result<Link, Error> {
    // SAFETY: by the caller's promise.
    let up = Error::check(unsafe { virtio_net_link(net.as_ptr()) })?;
    Ok(if up != 0 { Link::Up } else { Link::Down })
}

/// The number of slots as C takes it. One that does not fit is refused there, like every other that is no power of two.
fn slots(count: usize) -> u32 {
    u32::try_from(count).ok().filter(|count| *count != 0).unwrap_or(u32::MAX)
}

impl<H: Hal, T, const TX: usize, const RX: usize> Drop for NetDevice<H, T, TX, RX> {
    fn drop(&mut self) {
        let code = match self.host.given_up {
            // C has nothing outside of the storage, so that a driver need not be closed.
            true => VIRTIO_NET_ERROR_RESET_TIMEOUT,
            // SAFETY: the handle is that of a driver, which is not used afterwards.
            false => unsafe { virtio_net_close(self.handle()) },
        };
        self.end_and_drop_transport(code);
    }
}

impl<H: Hal, T, const TX: usize, const RX: usize> core::fmt::Debug for NetDevice<H, T, TX, RX> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NetDevice").field("mac", &self.mac_address()).field("info", &self.info()).finish()
    }
}
