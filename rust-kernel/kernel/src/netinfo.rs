//! What the NIC's driver knows beyond the interface that both drivers share: what it agreed on with the device, the link's
//! state, counters. Apart from `net.rs`, so that that file fits either driver.

use crate::net;

/// Prints which driver has the card, and what it and the device agreed on.
pub fn show_device() {
    net::with_device(driver::show);
}

/// Whether the link is up; `None` when there is no card or its driver does not tell.
pub fn link_up() -> Option<bool> {
    net::with_device(driver::link_up).flatten()
}

/// Prints the link state.
pub fn show_link() {
    match link_up() {
        Some(true) => crate::println!("VirtIO Net: link up"),
        Some(false) => crate::println!("VirtIO Net: link down"),
        None if net::mac_address().is_none() => crate::println!("VirtIO Net: no device"),
        None => crate::println!("VirtIO Net: the driver does not tell the link state"),
    }
}

/// Prints the driver's counters.
pub fn show_stats() {
    if net::with_device(driver::show_stats).is_none() {
        crate::println!("VirtIO Net: no device");
    }
}

#[cfg(not(feature = "rust-net"))]
mod driver {
    use crate::net::NetDevice;
    use virtio_net_c::Link;

    pub fn link_up(device: &mut NetDevice) -> Option<bool> {
        device.link().ok().map(|link| link == Link::Up)
    }

    pub fn show(device: &mut NetDevice) {
        let link = if link_up(device) == Some(false) { "down" } else { "up" };
        let info = device.info();
        let interface = if info.legacy { "legacy" } else { "modern" };
        let (tx, rx) = (info.tx_slots, info.rx_slots);
        let (major, minor) = virtio_net_c::abi_version();
        crate::println!("VirtIO Net: driver in C, interface {major}.{minor}");
        crate::println!("VirtIO Net: {interface}, queues {tx}/{rx}, link {link}, mtu {}", info.mtu);
    }

    pub fn show_stats(device: &mut NetDevice) {
        let stats = device.stats();
        for (name, value) in [
            ("sent", stats.tx_frames),
            ("sent bytes", stats.tx_bytes),
            ("sent and used by the device", stats.tx_completed),
            ("transmit notifications", stats.tx_kicks),
            ("transmit notifications repeated", stats.tx_rekicks),
            ("refused, ring full", stats.tx_full),
            ("lost by a reset in flight", stats.tx_lost),
            ("received", stats.rx_frames),
            ("received bytes", stats.rx_bytes),
            ("receive notifications", stats.rx_kicks),
            ("receive notifications repeated", stats.rx_rekicks),
            ("dropped, too short", stats.rx_dropped_short),
            ("dropped, too long", stats.rx_dropped_long),
            ("dropped, bad header", stats.rx_dropped_header),
            ("lost by a reset before taken", stats.rx_lost),
            ("queues broken", stats.queues_broken),
            ("resets asked for by the device", stats.device_needs_reset),
            ("resets", stats.resets),
            ("interrupts", stats.interrupts),
            ("bytes in quarantine", stats.quarantined_bytes),
        ] {
            crate::println!("{value:>12}  {name}");
        }
    }
}

#[cfg(feature = "rust-net")]
mod driver {
    use crate::net::NetDevice;

    pub fn link_up(_: &mut NetDevice) -> Option<bool> {
        None
    }

    pub fn show(_: &mut NetDevice) {
        crate::println!("VirtIO Net: driver of virtio-drivers");
    }

    pub fn show_stats(_: &mut NetDevice) {
        crate::println!("VirtIO Net: this driver keeps no statistics");
    }
}
