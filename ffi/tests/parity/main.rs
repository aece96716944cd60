//! The interface of `virtio_drivers::device::net`, in the original and here: one text is compiled against both, for each version
//! of virtio-drivers, and the original's source is searched for names that the text lacks.
//!
//! `signatures.rs` is that text. A signature, a trait or a bound that differs between the two does not compile.
#![cfg(any(feature = "virtio-drivers-0_12", feature = "virtio-drivers-0_13"))]
#![deny(warnings, unused_unsafe, unused_must_use, unconditional_panic)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with the first of them")]
#![allow(clippy::type_complexity, reason = "the types are what is compared")]

mod public_items;

/// Both sides for one version: the modules differ in where the names come from, and in nothing else.
macro_rules! both {
    ($version:ident, $drivers:ident, $source:literal, $feature:literal) => {
        #[cfg(feature = $feature)]
        mod $version {
            use $drivers as virtio_drivers;

            mod unreachable {
                use super::virtio_drivers;
                include!("unreachable.rs");
            }

            mod original {
                use super::{unreachable, virtio_drivers};
                use virtio_drivers::device::net;
                include!("signatures.rs");
            }

            mod ours {
                use super::{unreachable, virtio_drivers};
                use virtio_net_c::$version::net;
                include!("signatures.rs");
            }

            include!("sizes.rs");

            #[test]
            fn nothing_public_is_missing() {
                crate::public_items::compare($source);
            }

            /// The module names the virtio-drivers that its types are of.
            #[test]
            fn errors_are_the_originals() {
                let error: virtio_net_c::$version::virtio_drivers::Error = virtio_drivers::Error::NotReady;
                assert_eq!(error, virtio_drivers::Error::NotReady);
            }
        }
    };
}

both!(v0_12, virtio_drivers_0_12, "virtio-drivers-0.12.", "virtio-drivers-0_12");
both!(v0_13, virtio_drivers_0_13, "virtio-drivers-0.13.", "virtio-drivers-0_13");

/// The root of the crate offers what one version does: 0.12 where it is on.
#[cfg(feature = "virtio-drivers-0_12")]
const _: fn(virtio_net_c::net::VirtioNetHdr) -> virtio_net_c::v0_12::VirtioNetHdr = |header| header;
#[cfg(not(feature = "virtio-drivers-0_12"))]
const _: fn(virtio_net_c::net::VirtioNetHdr) -> virtio_net_c::v0_13::VirtioNetHdr = |header| header;
