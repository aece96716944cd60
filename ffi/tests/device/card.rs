//! The network card: the device's side of both rings, served by `virtio-queue`.
//!
//! The card sleeps. It looks at a ring only after a notification, goes on for as long as it finds buffers, and asks for the next
//! notification before it sleeps again, as a device may (virtio 1.2, 2.7.10). So a notification that the driver wrongly saves
//! shows as a frame that never comes.

use crate::device::machine::Machine;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use virtio_queue::desc::split::Descriptor;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};

/// Queue numbers (5.1.2).
pub const RX: usize = 0;
pub const TX: usize = 1;

/// Bytes of the header at most (5.1.6).
pub const HEADER_ROOM: usize = 12;

/// Feature bits (5.1.3, 6).
pub mod feature {
    pub const CSUM: u64 = 1;
    pub const GUEST_CSUM: u64 = 1 << 1;
    pub const MTU: u64 = 1 << 3;
    pub const MAC: u64 = 1 << 5;
    pub const STATUS: u64 = 1 << 16;
    pub const CTRL_VQ: u64 = 1 << 17;
    pub const MQ: u64 = 1 << 22;
    pub const NOTIFY_ON_EMPTY: u64 = 1 << 24;
    pub const ANY_LAYOUT: u64 = 1 << 27;
    pub const INDIRECT_DESC: u64 = 1 << 28;
    pub const EVENT_IDX: u64 = 1 << 29;
    pub const VERSION_1: u64 = 1 << 32;
    pub const RING_PACKED: u64 = 1 << 34;
    pub const IN_ORDER: u64 = 1 << 35;
    pub const NOTIFICATION_DATA: u64 = 1 << 38;
    pub const RING_RESET: u64 = 1 << 40;
    /// Of no meaning today.
    pub const UNKNOWN: u64 = 1 << 23 | 1 << 50;

    /// What this card can do when it is asked for.
    pub const SERVED: u64 = MTU | MAC | STATUS | ANY_LAYOUT | INDIRECT_DESC | EVENT_IDX | VERSION_1;
    /// What it offers as a temptation. A driver that accepts one of these is at fault.
    pub const TEMPTING: u64 = CSUM | GUEST_CSUM | CTRL_VQ | MQ | UNKNOWN;
}

/// Bits of the device status (2.1).
pub mod status {
    pub const ACKNOWLEDGE: u32 = 1;
    pub const DRIVER: u32 = 2;
    pub const DRIVER_OK: u32 = 4;
    pub const FEATURES_OK: u32 = 8;
    pub const NEEDS_RESET: u32 = 64;
}

const PAGE: u64 = 4096;
const AVAIL_NO_INTERRUPT: u16 = 1;

/// A way in which the device can be talked to.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    pub legacy: bool,
    /// Features beyond MAC and STATUS, and VERSION_1 where it is not legacy.
    pub extra: u64,
}

/// What the card is like. Tests change it before they bring the driver up, or while it runs.
#[derive(Clone, Debug)]
pub struct Config {
    pub kind: Kind,
    pub features: u64,
    pub queue_max: u32,
    pub mac: [u8; 6],
    pub link: u16,
    pub mtu: u16,
    /// Where the configuration space ends.
    pub config_bytes: usize,
    /// Clears FEATURES_OK.
    pub refuses_features: bool,
    /// Status reads until a reset is done.
    pub reset_reads: u32,
    /// How many resets are ignored before the first that is done.
    pub ignored_resets: usize,
    /// How many resets are ever done.
    pub resets: usize,
    /// The card was pulled out: every register reads as ones.
    pub gone: bool,
}

impl Config {
    pub fn new(kind: Kind) -> Self {
        let base = feature::MAC | feature::STATUS | feature::TEMPTING | kind.extra;
        let modern = feature::VERSION_1
            | feature::INDIRECT_DESC
            | feature::RING_PACKED
            | feature::IN_ORDER
            | feature::NOTIFICATION_DATA
            | feature::RING_RESET;
        Self {
            kind,
            features: if kind.legacy { (base | feature::NOTIFY_ON_EMPTY) & 0xffff_ffff } else { base | modern },
            queue_max: 1024,
            mac: [0x52, 0x54, 0, 0xab, 0xcd, 0xef],
            link: 1,
            mtu: 1500,
            config_bytes: 12,
            refuses_features: false,
            reset_reads: 0,
            ignored_resets: 0,
            resets: usize::MAX,
            gone: false,
        }
    }
}

/// A frame of the driver that the card has read and not yet returned.
#[derive(Debug)]
pub struct InHand {
    pub head: u16,
    pub frame: Vec<u8>,
}

struct Inner {
    config: Config,
    status: u32,
    resetting: bool,
    reset_reads_left: Option<u32>,
    features: u64,
    page_size: u32,
    queues: [Queue; 2],
    awake: [bool; 2],
    isr: u32,
    in_hand: Vec<InHand>,
}

pub struct Card {
    machine: Arc<Machine>,
    inner: Mutex<Inner>,
    /// Notifications that the card has not looked at yet.
    rung: [AtomicBool; 2],
    /// All notifications.
    pub notifications: [AtomicUsize; 2],
    /// All interrupts, by the queue that caused them.
    pub interrupts: [AtomicUsize; 2],
    pub register_calls: AtomicU32,
    /// How often a driver ended its set-up by that call of the transport.
    pub finish_init_calls: AtomicU32,
    /// A notification ends in a panic of the transport.
    pub notify_panics: AtomicBool,
    dropped: AtomicUsize,
}

impl Card {
    pub fn new(machine: &Arc<Machine>, config: Config) -> Arc<Self> {
        Arc::new(Self {
            machine: Arc::clone(machine),
            inner: Mutex::new(Inner {
                config,
                status: 0,
                resetting: false,
                reset_reads_left: None,
                features: 0,
                page_size: 0,
                queues: [Queue::new(32768).unwrap(), Queue::new(32768).unwrap()],
                awake: [false; 2],
                isr: 0,
                in_hand: Vec::new(),
            }),
            rung: Default::default(),
            notifications: Default::default(),
            interrupts: Default::default(),
            register_calls: AtomicU32::new(0),
            finish_init_calls: AtomicU32::new(0),
            notify_panics: AtomicBool::new(false),
            dropped: AtomicUsize::new(0),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    pub fn change(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.inner().config);
    }

    pub fn config(&self) -> Config {
        self.inner().config.clone()
    }

    /// Features that the driver accepted.
    pub fn accepted(&self) -> u64 {
        self.inner().features
    }

    /// Transports of this card that were dropped.
    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }

    pub fn is_running(&self) -> bool {
        self.inner().status & status::DRIVER_OK != 0
    }

    pub fn queue_size(&self, queue: usize) -> u16 {
        self.inner().queues[queue].size()
    }

    /// Where the ring begins.
    pub fn ring(&self, queue: usize) -> u64 {
        self.inner().queues[queue].desc_table()
    }

    pub fn interrupts(&self, queue: usize) -> usize {
        self.interrupts[queue].load(Ordering::Relaxed)
    }

    pub fn notifications(&self, queue: usize) -> usize {
        self.notifications[queue].load(Ordering::Relaxed)
    }

    /// The card finds that something is wrong with itself (2.1.1).
    pub fn ask_for_reset(&self) {
        let mut inner = self.inner();
        inner.status |= status::NEEDS_RESET;
        inner.isr |= 2;
    }

    // -------------------------------------------------------------------------------------------------------- receive

    /// Gives a frame to the driver. False: there is no buffer for it.
    #[must_use]
    pub fn deliver(&self, frame: &[u8]) -> bool {
        self.deliver_with(&[0; HEADER_ROOM - 2], frame, |id, length| (id, length))
    }

    /// The same with another header, and with what the used element shall say instead of the truth.
    #[must_use]
    pub fn deliver_with(
        &self,
        header: &[u8; HEADER_ROOM - 2],
        frame: &[u8],
        element: impl FnOnce(u32, u32) -> (u32, u32),
    ) -> bool {
        let mut inner = self.inner();
        let Some((head, descriptors)) = self.pop(&mut inner, RX) else { return false };
        let mut bytes = header.to_vec();
        if inner.header_length() == HEADER_ROOM {
            bytes.extend([1, 0]);
        }
        bytes.extend_from_slice(frame);
        let room: usize = descriptors.iter().map(|descriptor| descriptor.len() as usize).sum();
        if bytes.len() > room {
            self.machine.fault(format!("a frame of {} bytes has a buffer of {room}", frame.len()));
            bytes.truncate(room);
        }
        self.check_header_place(&inner, &descriptors);
        let mut rest = &bytes[..];
        for descriptor in &descriptors {
            let (now, later) = rest.split_at(rest.len().min(descriptor.len() as usize));
            if self.machine.check_access(descriptor.addr().0, descriptor.len() as usize, true)
                && descriptor.is_write_only()
            {
                self.machine.memory().write_slice(now, descriptor.addr()).unwrap();
            } else {
                self.machine.fault("a receive buffer that the device cannot write");
            }
            rest = later;
        }
        let (id, length) = element(u32::from(head), bytes.len() as u32);
        self.put_used(&mut inner, RX, id, length);
        true
    }

    /// Receive buffers that the card sees now, whether or not it was told of them.
    pub fn buffers(&self) -> usize {
        let inner = self.inner();
        let queue = &inner.queues[RX];
        let end = queue.avail_idx(self.machine.memory(), Ordering::Acquire).unwrap();
        usize::from(end.0.wrapping_sub(queue.next_avail()))
    }

    // ------------------------------------------------------------------------------------------------------- transmit

    /// Reads one frame and keeps its buffer. False: there is none, or the card sleeps.
    pub fn take(&self) -> bool {
        let mut inner = self.inner();
        let Some((head, descriptors)) = self.pop(&mut inner, TX) else { return false };
        let mut bytes = Vec::new();
        self.check_header_place(&inner, &descriptors);
        for descriptor in &descriptors {
            let mut part = vec![0; descriptor.len() as usize];
            if self.machine.check_access(descriptor.addr().0, part.len(), false) && !descriptor.is_write_only() {
                self.machine.memory().read_slice(&mut part, descriptor.addr()).unwrap();
            } else {
                self.machine.fault("a frame that the device cannot read");
            }
            bytes.extend_from_slice(&part);
        }
        let header_length = inner.header_length();
        let frame = bytes.split_off(bytes.len().min(header_length));
        if bytes != vec![0; header_length] {
            self.machine.fault(format!("the header of a frame to be sent: {bytes:02x?}"));
        }
        inner.in_hand.push(InHand { head, frame });
        true
    }

    /// Frames that were read and not returned.
    pub fn in_hand(&self) -> usize {
        self.inner().in_hand.len()
    }

    /// Returns the buffer of one of the frames in hand, and tells the frame.
    pub fn finish(&self, which: usize) -> Vec<u8> {
        let mut inner = self.inner();
        let InHand { head, frame } = inner.in_hand.remove(which);
        // A device may write 0 for the length of a buffer that it only reads.
        self.put_used(&mut inner, TX, u32::from(head), 0);
        frame
    }

    /// All frames that the driver has sent, whose buffers are returned.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        while self.take() {}
        (0..self.in_hand()).map(|_| self.finish(0)).collect()
    }

    // --------------------------------------------------------------------------------------------------- misbehaviour

    /// A used element of the card's invention.
    pub fn forge(&self, queue: usize, id: u32, length: u32) {
        let mut inner = self.inner();
        self.put_used(&mut inner, queue, id, length);
    }

    /// Moves used.idx without elements.
    pub fn jump(&self, queue: usize, by: u16) {
        let inner = self.inner();
        let index = inner.queues[queue].next_used().wrapping_add(by);
        let place = GuestAddress(inner.queues[queue].used_ring() + 2);
        self.machine.memory().store(index.to_le(), place, Ordering::Release).unwrap();
    }

    /// Falls asleep without asking for a notification, as if the driver had read too early that none is wanted.
    pub fn doze(&self, queue: usize) {
        self.rung[queue].store(false, Ordering::Release);
        self.inner().awake[queue] = false;
    }

    /// Falls asleep and asks for a notification too late for what the driver has published meanwhile.
    pub fn doze_late(&self, queue: usize) {
        self.doze(queue);
        self.inner().queues[queue].enable_notification(self.machine.memory()).unwrap();
    }

    // ------------------------------------------------------------------------------------------------------- the rings

    /// The next chain, where the card is awake. An empty ring puts it to sleep.
    fn pop(&self, inner: &mut Inner, queue: usize) -> Option<(u16, Vec<Descriptor>)> {
        if inner.status & status::DRIVER_OK == 0 {
            return None;
        }
        let memory = self.machine.memory();
        let ring = &mut inner.queues[queue];
        if self.rung[queue].swap(false, Ordering::AcqRel) && !inner.awake[queue] {
            inner.awake[queue] = true;
            ring.disable_notification(memory).unwrap();
        }
        let mut more = false;
        while inner.awake[queue] {
            if let Some(chain) = ring.pop_descriptor_chain(memory) {
                let head = chain.head_index();
                return Some((head, chain.collect()));
            }
            if more {
                self.machine.fault("an avail.idx that is further than the ring is long");
                return None;
            }
            more = ring.enable_notification(memory).unwrap();
            inner.awake[queue] = more;
        }
        None
    }

    /// Without ANY_LAYOUT a legacy device wants the header in a descriptor of its own (5.1.6.6).
    fn check_header_place(&self, inner: &Inner, descriptors: &[Descriptor]) {
        let first = descriptors.first().map_or(0, |first| first.len() as usize);
        let apart = inner.config.kind.legacy && inner.features & feature::ANY_LAYOUT == 0;
        if apart && (first != inner.header_length() || descriptors.len() != 2) {
            self.machine.fault(format!("{} descriptors, the first of {first} bytes", descriptors.len()));
        }
    }

    fn put_used(&self, inner: &mut Inner, queue: usize, id: u32, length: u32) {
        let memory = self.machine.memory();
        let ring = &mut inner.queues[queue];
        match u16::try_from(id) {
            Ok(head) if head < ring.size() => ring.add_used(memory, head, length).unwrap(),
            _ => {
                // `virtio-queue` writes no such element.
                let place = ring.used_ring() + 4 + 8 * u64::from(ring.next_used() % ring.size());
                memory.write_obj(id.to_le(), GuestAddress(place)).unwrap();
                memory.write_obj(length.to_le(), GuestAddress(place + 4)).unwrap();
                let next = ring.next_used().wrapping_add(1);
                ring.set_next_used(next);
                memory.store(next.to_le(), GuestAddress(ring.used_ring() + 2), Ordering::Release).unwrap();
            }
        }
        let event_idx = ring.event_idx_enabled();
        let wanted = if event_idx {
            ring.needs_notification(memory).unwrap()
        } else {
            let flags: u16 = memory.load(GuestAddress(ring.avail_ring()), Ordering::SeqCst).unwrap();
            flags & AVAIL_NO_INTERRUPT == 0
        };
        if wanted {
            inner.isr |= 1;
            self.interrupts[queue].fetch_add(1, Ordering::Relaxed);
        }
    }

    // ------------------------------------------------------------------------------------------------------- registers

    pub(super) fn transport_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_legacy(&self) -> bool {
        self.inner().config.kind.legacy
    }

    pub(super) fn device_features(&self) -> u64 {
        self.inner().config.features
    }

    pub(super) fn write_driver_features(&self, features: u64) {
        let mut inner = self.inner();
        if inner.status & (status::DRIVER | status::FEATURES_OK) != status::DRIVER {
            self.machine.fault(format!("features are written in status {}", inner.status));
        }
        if features & !inner.config.features != 0 || features & !feature::SERVED != 0 {
            self.machine.fault(format!("features {features:#x} of {:#x} are accepted", inner.config.features));
        }
        inner.features = features;
    }

    pub(super) fn max_queue_size(&self, queue: u16) -> u32 {
        if queue < 2 { self.inner().config.queue_max } else { 0 }
    }

    pub(super) fn notify(&self, queue: u16) {
        let queue = usize::from(queue);
        // No lock and no heap: the driver's own calls are counted.
        self.notifications[queue].fetch_add(1, Ordering::Relaxed);
        self.rung[queue].store(true, Ordering::Release);
        assert!(!self.notify_panics.load(Ordering::Relaxed), "the transport's own panic");
    }

    pub(super) fn status(&self) -> u32 {
        let mut inner = self.inner();
        if inner.config.gone {
            return u32::MAX;
        }
        match inner.reset_reads_left {
            Some(0) => self.reset(&mut inner),
            Some(left) => inner.reset_reads_left = Some(left - 1),
            None => {}
        }
        inner.status
    }

    fn reset(&self, inner: &mut Inner) {
        inner.status = 0;
        inner.resetting = false;
        inner.reset_reads_left = None;
        inner.features = 0;
        inner.isr = 0;
        inner.in_hand.clear();
        inner.awake = [false; 2];
        for queue in [RX, TX] {
            inner.queues[queue].reset();
            self.rung[queue].store(false, Ordering::Release);
        }
    }

    pub(super) fn set_status(&self, bits: u32) {
        let mut inner = self.inner();
        if inner.config.gone {
            return;
        }
        if bits == 0 {
            // A device that is reset already has nothing to do.
            inner.resetting = inner.status != 0;
            let ignored = inner.config.ignored_resets != 0;
            inner.config.ignored_resets -= usize::from(ignored);
            let works = !ignored && inner.config.resets != 0;
            inner.config.resets -= usize::from(works);
            inner.reset_reads_left = (works && inner.resetting).then_some(inner.config.reset_reads);
            return;
        }
        let cleared = inner.status & !bits & !status::NEEDS_RESET;
        let new = bits & !inner.status;
        if inner.resetting || cleared != 0 {
            self.machine.fault(format!("status {bits:#x} is written over {:#x}", inner.status));
        }
        inner.status |= bits & !status::FEATURES_OK;
        if new & status::FEATURES_OK != 0 {
            if inner.config.kind.legacy {
                self.machine.fault("FEATURES_OK on a legacy device");
            }
            // 6.2: it may refuse a driver that leaves VERSION_1 out. Where it does not offer that, the driver must see to it.
            let left_out = inner.config.features & !inner.features & feature::VERSION_1 != 0;
            if !inner.config.refuses_features && !left_out {
                inner.status |= status::FEATURES_OK;
            }
        }
        if new & status::DRIVER_OK != 0 {
            self.check_set_up(&inner);
        }
    }

    fn check_set_up(&self, inner: &Inner) {
        let featured = inner.config.kind.legacy || inner.status & status::FEATURES_OK != 0;
        if !featured || inner.queues.iter().any(|queue| !queue.ready()) {
            self.machine.fault("DRIVER_OK before features or queues");
        }
        if inner.config.kind.legacy && inner.page_size != PAGE as u32 {
            self.machine.fault(format!("a guest page size of {}", inner.page_size));
        }
    }

    pub(super) fn set_guest_page_size(&self, bytes: u32) {
        self.inner().page_size = bytes;
    }

    pub(super) fn queue_used(&self, queue: u16) -> bool {
        self.inner().queues[usize::from(queue)].ready()
    }

    pub(super) fn queue_set(&self, queue: u16, size: u32, places: [u64; 3]) {
        let mut inner = self.inner();
        let [table, avail, used] = places;
        let entries = u64::from(size);
        let legacy = inner.config.kind.legacy;
        let featured = legacy || inner.status & status::FEATURES_OK != 0;
        if !featured || inner.status & status::DRIVER_OK != 0 || size > inner.config.queue_max {
            self.machine.fault(format!("queue {queue} of {size} is set in status {}", inner.status));
        }
        // 2.7.2: one block, the used ring on the next page, and the block's page number in 32 bits.
        let expected = [table, table + 16 * entries, (table + 18 * entries + 6).next_multiple_of(PAGE)];
        if legacy && (places != expected || table % PAGE != 0 || table / PAGE > u64::from(u32::MAX)) {
            self.machine.fault(format!("queue {queue} of {size} lies at {places:x?}"));
        }
        self.machine.check_access(table, 16 * size as usize, false);
        self.machine.check_access(avail, 2 * size as usize + 6, false);
        self.machine.check_access(used, 8 * size as usize + 6, true);
        let event_idx = inner.features & feature::EVENT_IDX != 0;
        let ring = &mut inner.queues[usize::from(queue)];
        let low = |address: u64| Some(address as u32);
        let high = |address: u64| Some((address >> 32) as u32);
        ring.set_size(size as u16);
        ring.set_desc_table_address(low(table), high(table));
        ring.set_avail_ring_address(low(avail), high(avail));
        ring.set_used_ring_address(low(used), high(used));
        ring.set_event_idx(event_idx);
        ring.set_ready(true);
        let taken = [ring.desc_table(), ring.avail_ring(), ring.used_ring()] == places;
        if !taken || u32::from(ring.size()) != size || !ring.is_valid(self.machine.memory()) {
            self.machine.fault(format!("virtio-queue refuses queue {queue} of {size} at {places:x?}"));
        }
    }

    pub(super) fn ack_interrupt(&self) -> u32 {
        std::mem::take(&mut self.inner().isr)
    }

    pub(super) fn config_space(&self) -> Vec<u8> {
        let inner = self.inner();
        let config = &inner.config;
        let mut space = config.mac.to_vec();
        space.extend(config.link.to_le_bytes());
        space.extend(1_u16.to_le_bytes());
        space.extend(config.mtu.to_le_bytes());
        space.truncate(config.config_bytes);
        space
    }
}

impl Inner {
    fn header_length(&self) -> usize {
        if self.features & feature::VERSION_1 != 0 { HEADER_ROOM } else { HEADER_ROOM - 2 }
    }
}
