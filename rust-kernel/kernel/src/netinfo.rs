//! What the NIC's driver knows of itself: link state and counters. Apart from `net.rs`, because each driver has its own.

/// Whether the link is up; `None` when there is no card or its driver does not tell.
pub fn link_up() -> Option<bool> {
    None
}

/// Prints the link state.
pub fn show_link() {
    match link_up() {
        Some(true) => crate::println!("VirtIO Net: link up"),
        Some(false) => crate::println!("VirtIO Net: link down"),
        None if crate::net::mac_address().is_none() => crate::println!("VirtIO Net: no device"),
        None => crate::println!("VirtIO Net: this driver does not tell the link state"),
    }
}

/// Prints the driver's counters.
pub fn show_stats() {
    match crate::net::mac_address() {
        Some(_) => crate::println!("VirtIO Net: this driver keeps no statistics"),
        None => crate::println!("VirtIO Net: no device"),
    }
}
