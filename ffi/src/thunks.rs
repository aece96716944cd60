//! The two tables through which C calls Rust: `Hal` as the platform, `Transport` as the transport.
//!
//! Both are generic traits, so there is one table for each `H` and `T`, made of functions that the compiler instantiates for
//! them. The context word of every call is the address of the [`Host`] that the driver value holds. It is set anew when a call or
//! a split borrows the driver, because the value may have moved before; in a block of the heap, which does not move, it is set
//! once.
//!
//! The handles of a split driver may be in calls on several processors at once. So every function here that they can reach takes
//! the host's lock for the transport, but `interrupt_ack`, whose caller has it: an interrupt handler must be able to see that
//! somebody else has. The functions of set-up and reset need none: those calls borrow the driver as a whole.

use super::lock::Lock;
use super::virtio_drivers::transport::{DeviceStatus, Transport};
use super::virtio_drivers::{BufferDirection, Hal, PAGE_SIZE};
use crate::sys::*;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, size_of};
use core::ptr::{self, NonNull};

#[cfg(feature = "alloc")]
pub(crate) use super::pool::Pool;

/// Without a heap no receive buffer outlives its driver.
#[cfg(not(feature = "alloc"))]
pub(crate) enum Pool {}

#[cfg(not(feature = "alloc"))]
impl Pool {
    /// # Safety
    /// There is no value to call it on.
    unsafe fn keep(&self, _: super::virtio_drivers::PhysAddr, _: NonNull<u8>, _: usize) {
        match *self {}
    }
}

/// The Rust side of one driver: what the context word points at. Several processors may use it at once, each field by its own
/// rule, so nobody takes a reference to all of it while the driver is in a call.
pub(crate) struct Host<T> {
    /// Reached only by whoever holds the lock, or has the whole driver. Dropped by hand, because that must not happen to the
    /// transport of a device whose reset was not confirmed.
    pub(crate) transport: ManuallyDrop<T>,
    /// The transport's lock. It keeps where the receive pool goes at the end instead of back to the `Hal`, because buffers of it
    /// are still lent out: set only while the driver is dropped.
    pub(crate) lock: Lock<Pool>,
    /// Bytes of DMA memory that the driver has; after its end, that the device may still write.
    pub(crate) dma_bytes: usize,
    /// Blocks of the receive pool.
    receive_blocks: i32,
    /// The device did not confirm its last reset, and is asked for nothing more.
    pub(crate) given_up: bool,
}

impl<T> Host<T> {
    pub(crate) fn new(transport: T) -> Self {
        let transport = ManuallyDrop::new(transport);
        Self { transport, lock: Lock::new(), dma_bytes: 0, receive_blocks: 0, given_up: false }
    }

    /// Blocks of DMA memory that the receive pool consists of now.
    #[cfg(feature = "alloc")]
    pub(crate) fn receive_blocks(&self) -> usize {
        self.receive_blocks as usize
    }

    /// Counts a block of so many bytes that was taken or given back, with the `flags` of that: `change` is 1 or -1.
    ///
    /// # Safety
    /// `context` is the host of a driver that is borrowed as a whole.
    unsafe fn count(context: *mut c_void, bytes: u32, flags: u32, change: i32) {
        let host = host_of::<T>(context);
        // SAFETY: by the caller's promise; no reference to the fields is held.
        unsafe {
            (*host).dma_bytes = (*host).dma_bytes.wrapping_add_signed(bytes as isize * change as isize);
            if flags & VIRTIO_NET_DMA_RECEIVE_POOL != 0 {
                (*host).receive_blocks += change;
            }
        }
    }
}

/// The tables for `H` and `T`.
pub(crate) struct Tables<H, T>(PhantomData<(H, T)>);

impl<H: Hal, T> Tables<H, T> {
    pub(crate) const PLATFORM: &'static virtio_net_platform = &virtio_net_platform {
        size: size_of::<virtio_net_platform>() as u32,
        flags: 0,
        dma_alloc: Some(dma_alloc::<H, T>),
        dma_free: Some(dma_free::<H, T>),
        share: None,
        unshare: None,
        sync_for_device: None,
        sync_for_cpu: None,
        now_us: None,
        relax: Some(relax),
        random: None,
        #[cfg(feature = "log")]
        log: Some(log_line),
        #[cfg(not(feature = "log"))]
        log: None, // nor is the C code compiled with any
    };
}

impl<H: Hal, T: Transport> Tables<H, T> {
    /// Of a driver that may be split: its handles reach the transport from several processors.
    pub(crate) const SHARED: &'static virtio_net_transport = &transport::<T, true>();
    /// Of a driver that is not.
    pub(crate) const WHOLE: &'static virtio_net_transport = &transport::<T, false>();
}

const fn transport<T: Transport, const SPLIT: bool>() -> virtio_net_transport {
    virtio_net_transport {
        size: size_of::<virtio_net_transport>() as u32,
        flags: 0,
        properties: Some(properties::<T>),
        device_type: Some(device_type::<T>),
        read_features: Some(read_features::<T>),
        write_features: Some(write_features::<T>),
        get_status: Some(get_status::<T, SPLIT>),
        set_status: Some(set_status::<T>),
        set_guest_page_size: Some(set_guest_page_size::<T>),
        queue_max: Some(queue_max::<T>),
        queue_used: Some(queue_used::<T>),
        queue_set: Some(queue_set::<T>),
        queue_reset: None,
        notify: Some(notify::<T, SPLIT>),
        interrupt_ack: Some(interrupt_ack::<T>),
        config_generation: Some(config_generation::<T, SPLIT>),
        config_read: Some(config_read::<T, SPLIT>),
        config_write: None,
    }
}

/// The host that C means. It has the address alone, which each call into C exposes: the borrow of the driver is newer than what C
/// was told.
fn host_of<T>(context: *mut c_void) -> *mut Host<T> {
    ptr::with_exposed_provenance_mut(context.addr())
}

// ------------------------------------------------------------------------------------------------------------ platform

fn direction_of(direction: u32) -> BufferDirection {
    match direction {
        VIRTIO_NET_DMA_TO_DEVICE => BufferDirection::DriverToDevice,
        VIRTIO_NET_DMA_FROM_DEVICE => BufferDirection::DeviceToDriver,
        _ => BufferDirection::Both,
    }
}

/// # Safety
/// `context` is the `Host<T>` of a driver that is borrowed as a whole; `memory` is valid for writing.
unsafe extern "C" fn dma_alloc<H: Hal, T>(
    context: *mut c_void,
    bytes: u32,
    _alignment: u32,
    direction: u32,
    flags: u32,
    memory: *mut virtio_net_dma,
) -> i32 {
    let (device_address, address) = H::dma_alloc(bytes as usize / PAGE_SIZE, direction_of(direction));
    if device_address == 0 {
        return -1;
    }
    // SAFETY: the caller gave memory for the answer.
    unsafe { memory.write(virtio_net_dma { address: address.as_ptr().cast(), device_address }) };
    // SAFETY: the context is the host, and nobody else has the driver.
    unsafe { Host::<T>::count(context, bytes, flags, 1) };
    0
}

/// # Safety
/// `context` is the `Host<T>` of a driver that is borrowed as a whole; `memory` describes what `dma_alloc` gave for as many
/// bytes, which nobody uses any more.
unsafe extern "C" fn dma_free<H: Hal, T>(
    context: *mut c_void,
    memory: *const virtio_net_dma,
    bytes: u32,
    _direction: u32,
    flags: u32,
) {
    // SAFETY: the caller gave a valid description.
    let memory = unsafe { memory.read() };
    let Some(address) = NonNull::new(memory.address.cast::<u8>()) else { return };
    let pages = bytes as usize / PAGE_SIZE;
    let of_receive_pool = flags & VIRTIO_NET_DMA_RECEIVE_POOL != 0;
    // SAFETY: the context is the host, and nobody else has the driver.
    unsafe { Host::<T>::count(context, bytes, flags, -1) };
    // SAFETY: the context is the host for as long as the call into C lasts, and the lock is only ever shared.
    let keeper = NonNull::new(unsafe { &(*host_of::<T>(context)).lock }.kept());
    if let (true, Some(keeper)) = (of_receive_pool, keeper) {
        // SAFETY: whoever set the keeper keeps it valid until the driver is closed, and is the one who may call this.
        unsafe { keeper.as_ref().keep(memory.device_address, address, pages) };
        return;
    }
    // SAFETY: these are the values that `H::dma_alloc` returned, and the driver uses the memory no more.
    unsafe { H::dma_dealloc(memory.device_address, address, pages) };
}

/// # Safety
/// None is needed.
unsafe extern "C" fn relax(_context: *mut c_void) {
    core::hint::spin_loop();
}

/// # Safety
/// `text` is a static string that ends with 0.
#[cfg(feature = "log")]
unsafe extern "C" fn log_line(
    _context: *mut c_void,
    level: u32,
    code: i32,
    text: *const core::ffi::c_char,
    found: u64,
    wanted: u64,
) {
    let level = match level {
        VIRTIO_NET_LOG_ERROR => log::Level::Error,
        VIRTIO_NET_LOG_WARNING => log::Level::Warn,
        _ => log::Level::Info,
    };
    // SAFETY: the driver passes static strings that end with 0.
    let text = unsafe { core::ffi::CStr::from_ptr(text) }.to_str().unwrap_or("?");
    log::log!(target: "virtio_net_c", level, "{text} ({found:#x}, {wanted:#x}) [{code}]");
}

// ----------------------------------------------------------------------------------------------------------- transport

/// Runs `call` with the transport to itself.
///
/// # Safety
/// `context` is the `Host<T>`, whose transport nobody reaches without its lock; or nobody else at all, unless the driver may be
/// `SPLIT`.
unsafe fn locked<T, R, const SPLIT: bool>(context: *mut c_void, call: impl FnOnce(&mut T) -> R) -> R {
    if !SPLIT {
        // SAFETY: by the caller's promise.
        return call(unsafe { alone(context) });
    }
    let host = host_of::<T>(context);
    // SAFETY: the context is the host for as long as the call into C lasts, and the lock is only ever shared.
    let _held = unsafe { &(*host).lock }.lock();
    // SAFETY: the lock is held until the end of this function, and the reference ends before.
    call(unsafe { &mut *(*host).transport })
}

/// The transport, for a call that only a driver borrowed as a whole makes: set-up, reset, recovery.
///
/// # Safety
/// `context` is the `Host<T>` of such a driver, and the reference is gone when the thunk returns.
unsafe fn alone<'a, T>(context: *mut c_void) -> &'a mut T {
    // SAFETY: the context is the host for as long as the call into C lasts. There is no handle of a split driver meanwhile.
    unsafe { &mut (*host_of::<T>(context)).transport }
}

/// # Safety
/// As [`locked`] and [`alone`], of which the next functions are the uses: `context` is the `Host<T>`, and pointers are valid.
unsafe extern "C" fn properties<T: Transport>(context: *mut c_void) -> u32 {
    // SAFETY: see `alone`.
    match unsafe { alone::<T>(context) }.requires_legacy_layout() {
        true => VIRTIO_NET_TRANSPORT_LEGACY,
        false => VIRTIO_NET_TRANSPORT_CONFIG_GENERATION,
    }
}

/// # Safety
/// See [`properties`].
unsafe extern "C" fn device_type<T: Transport>(context: *mut c_void) -> u32 {
    // SAFETY: see `alone`.
    unsafe { alone::<T>(context) }.device_type() as u32
}

/// # Safety
/// See [`properties`]; `words` is valid for `count` words.
unsafe extern "C" fn read_features<T: Transport>(context: *mut c_void, words: *mut u32, count: u32) {
    // SAFETY: see `alone`.
    let mut features = unsafe { alone::<T>(context) }.read_device_features();
    for word in 0..count as usize {
        // SAFETY: the caller gave room for `count` words.
        unsafe { words.add(word).write(features as u32) };
        features >>= 32;
    }
}

/// # Safety
/// See [`properties`]; `words` is valid for `count` words.
unsafe extern "C" fn write_features<T: Transport>(context: *mut c_void, words: *const u32, count: u32) {
    let mut features = 0;
    for word in (0..count.min(2) as usize).rev() {
        // SAFETY: the caller gave `count` words.
        features = features << 32 | u64::from(unsafe { words.add(word).read() });
    }
    // SAFETY: see `alone`.
    unsafe { alone::<T>(context) }.write_driver_features(features);
}

/// # Safety
/// See [`properties`].
unsafe extern "C" fn get_status<T: Transport, const SPLIT: bool>(context: *mut c_void) -> u32 {
    // SAFETY: see `locked`.
    unsafe { locked::<_, _, SPLIT>(context, |transport: &mut T| transport.get_status().bits()) }
}

/// # Safety
/// See [`properties`].
unsafe extern "C" fn set_status<T: Transport>(context: *mut c_void, status: u32) {
    // SAFETY: see `alone`.
    unsafe { alone::<T>(context) }.set_status(DeviceStatus::from_bits_retain(status));
}

/// # Safety
/// See [`properties`].
unsafe extern "C" fn set_guest_page_size<T: Transport>(context: *mut c_void, bytes: u32) {
    // SAFETY: see `alone`.
    unsafe { alone::<T>(context) }.set_guest_page_size(bytes);
}

/// # Safety
/// See [`properties`].
unsafe extern "C" fn queue_max<T: Transport>(context: *mut c_void, queue: u32) -> u32 {
    // SAFETY: see `alone`.
    unsafe { alone::<T>(context) }.max_queue_size(queue as u16)
}

/// # Safety
/// See [`properties`].
unsafe extern "C" fn queue_used<T: Transport>(context: *mut c_void, queue: u32) -> u32 {
    // SAFETY: see `alone`.
    u32::from(unsafe { alone::<T>(context) }.queue_used(queue as u16))
}

/// # Safety
/// See [`properties`]; `memory` is valid for reading.
unsafe extern "C" fn queue_set<T: Transport>(context: *mut c_void, memory: *const virtio_net_queue_memory) -> i32 {
    // SAFETY: the caller gave a valid description.
    let memory = unsafe { memory.read() };
    // SAFETY: see `alone`.
    let transport = unsafe { alone::<T>(context) };
    let (driver_area, device_area) = (memory.driver_area, memory.device_area);
    transport.queue_set(memory.queue as u16, memory.size, memory.descriptors, driver_area, device_area);
    0
}

/// # Safety
/// See [`properties`].
unsafe extern "C" fn notify<T: Transport, const SPLIT: bool>(context: *mut c_void, queue: u32, _data: u32) {
    // SAFETY: see `locked`.
    unsafe { locked::<_, _, SPLIT>(context, |transport: &mut T| transport.notify(queue as u16)) };
}

/// # Safety
/// See [`properties`]; the caller holds the host's lock.
unsafe extern "C" fn interrupt_ack<T: Transport>(context: *mut c_void) -> u32 {
    // SAFETY: the context is the host, and with the lock held its transport is reached from here only.
    let transport: &mut T = unsafe { &mut (*host_of::<T>(context)).transport };
    transport.ack_interrupt().bits()
}

/// # Safety
/// See [`properties`].
unsafe extern "C" fn config_generation<T: Transport, const SPLIT: bool>(context: *mut c_void) -> u32 {
    // SAFETY: see `locked`.
    unsafe { locked::<_, _, SPLIT>(context, |transport: &mut T| transport.read_config_generation()) }
}

/// # Safety
/// See [`properties`]; `value` is valid for writing.
unsafe extern "C" fn config_read<T: Transport, const SPLIT: bool>(
    context: *mut c_void,
    offset: u32,
    width: u32,
    value: *mut u32,
) -> i32 {
    let offset = offset as usize;
    let read = |transport: &mut T| match width {
        1 => transport.read_config_space::<u8>(offset).map(u32::from),
        2 => transport.read_config_space::<u16>(offset).map(u32::from),
        _ => transport.read_config_space::<u32>(offset),
    };
    // SAFETY: see `locked`.
    let Ok(field) = (unsafe { locked::<_, _, SPLIT>(context, read) }) else { return -1 };
    // SAFETY: the caller gave room for the answer.
    unsafe { value.write(field) };
    0
}
