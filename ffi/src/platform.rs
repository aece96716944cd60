//! What the driver needs of its host: two tables of functions and the types they speak in.
//!
//! This file is the one home of these types. `include/virtio_net_platform.h` is generated from it by cbindgen
//! (`cargo run -p xtask -- generate`), which is why the comments are written for a reader of C and the names are C's.

use core::ffi::{c_char, c_void};

/// Direction of a block of DMA memory: the device only reads it (a transmit pool).
pub const VIRTIO_NET_DMA_TO_DEVICE: u32 = 0;
/// Direction of a block of DMA memory: the device only writes it (a receive pool).
pub const VIRTIO_NET_DMA_FROM_DEVICE: u32 = 1;
/// Direction of a block of DMA memory: both sides write it (the rings).
pub const VIRTIO_NET_DMA_BOTH: u32 = 2;

/// Flag of `dma_alloc`: the memory must be coherent, so that neither side needs the `sync_*` calls (the rings).
pub const VIRTIO_NET_DMA_COHERENT: u32 = 1;
/// Flag of `dma_alloc`: the whole block must lie below 4 GiB in the device's addresses. Reserved, not asked for yet.
pub const VIRTIO_NET_DMA_BELOW_4G: u32 = 2;
/// Flag of `dma_alloc`: the device reaches memory through an IOMMU (`VIRTIO_F_ACCESS_PLATFORM`). Reserved, not asked for yet.
pub const VIRTIO_NET_DMA_ACCESS_PLATFORM: u32 = 4;

/// Flag of `dma_alloc` and `dma_free`: the block is for received frames, of which callers may hold some.
pub const VIRTIO_NET_DMA_RECEIVE_POOL: u32 = 8;

/// Property of a transport: the legacy interface of virtio 0.9.5. There is no `FEATURES_OK`, a queue is one contiguous
/// block whose used ring starts at the next 4,096-byte boundary (virtio 1.2, 2.7.2), and its page number must fit 32 bits.
pub const VIRTIO_NET_TRANSPORT_LEGACY: u32 = 1;
/// Property of a transport: `config_generation` counts changes of the configuration space (virtio 1.2, 2.5.1).
pub const VIRTIO_NET_TRANSPORT_CONFIG_GENERATION: u32 = 2;
/// Property of a transport: `notify` carries its `data` to the device (`VIRTIO_F_NOTIFICATION_DATA`). Reserved.
pub const VIRTIO_NET_TRANSPORT_NOTIFICATION_DATA: u32 = 4;
/// Property of a transport: `queue_reset` resets one queue (`VIRTIO_F_RING_RESET`). Reserved.
pub const VIRTIO_NET_TRANSPORT_QUEUE_RESET: u32 = 8;
/// Property of a transport: `queue_set` obeys the interrupt vector. Reserved.
pub const VIRTIO_NET_TRANSPORT_VECTORS: u32 = 16;

/// The vector that stands for "none" in `virtio_net_queue_memory`.
pub const VIRTIO_NET_NO_VECTOR: u32 = 0xffff;

/// Log level of `log`: something failed and a call returns an error for it.
pub const VIRTIO_NET_LOG_ERROR: u32 = 1;
/// Log level of `log`: the device misbehaved and the driver went on.
pub const VIRTIO_NET_LOG_WARNING: u32 = 2;
/// Log level of `log`: one line about what was set up.
pub const VIRTIO_NET_LOG_INFO: u32 = 3;

/// One block of memory that the processor and the device both reach.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct virtio_net_dma {
    /// Where the processor reaches it.
    pub address: *mut c_void,
    /// Where the device reaches it. 0 is no address: `dma_alloc` must not return it.
    pub device_address: u64,
}

/// Where one virtqueue lies, for `queue_set`. Addresses are the device's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct virtio_net_queue_memory {
    /// The queue's index: 0 receives and 1 transmits (virtio 1.2, 5.1.2).
    pub queue: u32,
    /// Entries of the ring, a power of two.
    pub size: u32,
    /// Interrupt vector, `VIRTIO_NET_NO_VECTOR` today.
    pub vector: u32,
    /// 0 today.
    pub flags: u32,
    /// The descriptor table, 16 bytes an entry, 16-byte aligned (4,096-byte aligned on a legacy device).
    pub descriptors: u64,
    /// The driver area, which is the available ring, 2-byte aligned.
    pub driver_area: u64,
    /// The device area, which is the used ring, 4-byte aligned.
    pub device_area: u64,
}

/// What the driver needs of the machine: memory for the device, and where they exist a clock, random numbers and a log.
///
/// The table is read only and must stay in place for as long as a driver uses it: a static. `context` is the word given to
/// `virtio_net_init` or, since, to `virtio_net_set_context`. A nullable function is NULL where the host has none.
/// `size` comes first and the table grows at its tail only; functions past `size` count as NULL.
///
/// Threads: `sync_for_device`, `sync_for_cpu`, `now_us`, `relax` and `log` may be called from the transmit and from the receive
/// side at once, where the host drives the two from different processors. The others are called only by the calls that need
/// the whole driver (set-up, stop, start, recovery, close).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct virtio_net_platform {
    /// Bytes of this table as its author knows it: `sizeof(struct virtio_net_platform)`.
    pub size: u32,
    /// 0 today.
    pub flags: u32,
    /// Allocates `bytes` (a multiple of 4,096) of zeroed memory, aligned to `alignment` (4,096) on both sides and contiguous
    /// for the device, and writes where it is to `memory`. `direction` is a `VIRTIO_NET_DMA_*` direction and `flags` are
    /// `VIRTIO_NET_DMA_*` flags. Returns 0, or a negative number where there is no such memory, which the driver answers
    /// with smaller requests where it can. The memory belongs to the driver until `dma_free`. Required.
    pub dma_alloc: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            bytes: u32,
            alignment: u32,
            direction: u32,
            flags: u32,
            memory: *mut virtio_net_dma,
        ) -> i32,
    >,
    /// Takes back what `dma_alloc` gave: the same addresses, the same `bytes`, the same `direction` and `flags`. The device no
    /// longer uses it. Required.
    pub dma_free: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            memory: *const virtio_net_dma,
            bytes: u32,
            direction: u32,
            flags: u32,
        ),
    >,
    /// Makes the caller's memory reachable for the device. Reserved: this version never calls it, because whoever posts memory of
    /// its own says with it where the device finds it. Nullable.
    pub share: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            address: *mut c_void,
            bytes: u32,
            direction: u32,
            flags: u32,
            device_address: *mut u64,
        ) -> i32,
    >,
    /// Ends what `share` began. Reserved as `share` is. Nullable.
    pub unshare: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            address: *mut c_void,
            bytes: u32,
            direction: u32,
            flags: u32,
            device_address: u64,
        ),
    >,
    /// Writes the processor's caches back so that the device sees `bytes` from `address`. NULL on a coherent machine.
    pub sync_for_device:
        Option<unsafe extern "C" fn(context: *mut c_void, address: *mut c_void, bytes: u32, direction: u32)>,
    /// Discards the processor's caches so that it sees what the device wrote. NULL on a coherent machine.
    pub sync_for_cpu:
        Option<unsafe extern "C" fn(context: *mut c_void, address: *mut c_void, bytes: u32, direction: u32)>,
    /// Microseconds since some moment, never going back. Where it is NULL, a limit in time becomes a limit in status reads
    /// (one read counts as one microsecond).
    pub now_us: Option<unsafe extern "C" fn(context: *mut c_void) -> u64>,
    /// Called in each turn of a wait: a pause instruction, or a yield. Nullable.
    pub relax: Option<unsafe extern "C" fn(context: *mut c_void)>,
    /// Fills `bytes` from `buffer` with random numbers and returns 0, or a negative number where it could not. Used for the
    /// address of a device that has none of its own. Nullable.
    pub random: Option<unsafe extern "C" fn(context: *mut c_void, buffer: *mut u8, bytes: u32) -> i32>,
    /// Takes one line for people: a `VIRTIO_NET_LOG_*` level, the status code it is about (0 for none), a text that stays valid
    /// for ever, and two numbers that the text names. Nullable. Never called by a library that was compiled with
    /// `VIRTIO_NET_NO_LOG`, which has no such lines.
    pub log: Option<
        unsafe extern "C" fn(context: *mut c_void, level: u32, code: i32, text: *const c_char, a: u64, b: u64),
    >,
}

/// How the driver reaches the device's registers, for a transport that is not the driver's own.
///
/// The table is read only and must stay in place for as long as a driver uses it: a static. Every function gets the same
/// `context` as those of the platform table. `size` comes first and the table grows at its tail only.
///
/// Threads: where the host drives the two directions and the interrupt from different processors, `notify` may be called from the
/// transmit and the receive side at once, and `get_status` from both sides, and beside them `interrupt_ack`, `config_generation`
/// and `config_read` from the interrupt. The others are called only by the calls that need the whole driver.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct virtio_net_transport {
    /// Bytes of this table as its author knows it: `sizeof(struct virtio_net_transport)`.
    pub size: u32,
    /// 0 today.
    pub flags: u32,
    /// What this transport can do: `VIRTIO_NET_TRANSPORT_*` bits. Required.
    pub properties: Option<unsafe extern "C" fn(context: *mut c_void) -> u32>,
    /// The virtio device type, 1 for a network card (virtio 1.2, 5). Required.
    pub device_type: Option<unsafe extern "C" fn(context: *mut c_void) -> u32>,
    /// Reads `count` words of 32 feature bits that the device offers, word 0 being bits 0 to 31. Required.
    pub read_features: Option<unsafe extern "C" fn(context: *mut c_void, words: *mut u32, count: u32)>,
    /// Writes `count` words of 32 feature bits that the driver accepts. Required.
    pub write_features: Option<unsafe extern "C" fn(context: *mut c_void, words: *const u32, count: u32)>,
    /// Reads the device status field (virtio 1.2, 2.1). Required.
    pub get_status: Option<unsafe extern "C" fn(context: *mut c_void) -> u32>,
    /// Writes the device status field; 0 resets the device. Does not wait. Required.
    pub set_status: Option<unsafe extern "C" fn(context: *mut c_void, status: u32)>,
    /// Tells a legacy device the page size (GuestPageSize, virtio 1.2, 4.2.4). NULL where the transport has no such register.
    pub set_guest_page_size: Option<unsafe extern "C" fn(context: *mut c_void, bytes: u32)>,
    /// The largest size that the device allows for the queue, 0 where the queue does not exist. Required.
    pub queue_max: Option<unsafe extern "C" fn(context: *mut c_void, queue: u32) -> u32>,
    /// Not 0 where the device says that the queue is in use already. Required.
    pub queue_used: Option<unsafe extern "C" fn(context: *mut c_void, queue: u32) -> u32>,
    /// Tells the device where a queue lies and makes it ready. Returns 0, or a negative number where the device
    /// refused. Required.
    pub queue_set:
        Option<unsafe extern "C" fn(context: *mut c_void, memory: *const virtio_net_queue_memory) -> i32>,
    /// Resets one queue. Reserved: this version never calls it. Nullable.
    pub queue_reset: Option<unsafe extern "C" fn(context: *mut c_void, queue: u32) -> i32>,
    /// Tells the device that the queue has new buffers. `data` is for `VIRTIO_F_NOTIFICATION_DATA` and 0 today. Required.
    pub notify: Option<unsafe extern "C" fn(context: *mut c_void, queue: u32, data: u32)>,
    /// Reads and clears the interrupt status: bit 0 a queue, bit 1 the configuration (virtio 1.2, 4.2.2). Required.
    pub interrupt_ack: Option<unsafe extern "C" fn(context: *mut c_void) -> u32>,
    /// The generation of the configuration space. Required.
    pub config_generation: Option<unsafe extern "C" fn(context: *mut c_void) -> u32>,
    /// Reads a field of `width` bytes (1, 2 or 4) at `offset` of the configuration space with one access of that width. Returns
    /// 0, or a negative number where the space ends before the field does. Required.
    pub config_read:
        Option<unsafe extern "C" fn(context: *mut c_void, offset: u32, width: u32, value: *mut u32) -> i32>,
    /// Writes a field as `config_read` reads it. Reserved: this version never calls it. Nullable.
    pub config_write:
        Option<unsafe extern "C" fn(context: *mut c_void, offset: u32, width: u32, value: u32) -> i32>,
}
