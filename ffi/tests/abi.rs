//! The numbers of the boundary as the C compiler and as rustc see them, one by one.
//!
//! A small C program is made from the names that `src/bindings.rs` and `src/platform.rs` define, compiled with the headers, and
//! run. What it prints is compared with what Rust says of the same names. Names that only one side has are found too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends with the first of them")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use virtio_net_c::sys::*;

const RUST: [&str; 2] = [include_str!("../src/bindings.rs"), include_str!("../src/platform.rs")];
const HEADERS: [&str; 2] =
    [include_str!("../include/virtio_net.h"), include_str!("../include/virtio_net_platform.h")];

/// Every number by its name: `size STRUCT`, `alignment STRUCT`, `offset STRUCT.FIELD`, `size STRUCT.FIELD`, `NAME` of a constant.
type Numbers = BTreeMap<String, i128>;

fn bytes_of<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// What rustc says of structures.
macro_rules! structures {
    ($($name:ident { $($field:ident),+ $(,)? })+) => {
        fn structures() -> Numbers {
            let mut numbers = Numbers::new();
            $(
                numbers.insert(format!("size {}", stringify!($name)), size_of::<$name>() as i128);
                numbers.insert(format!("alignment {}", stringify!($name)), align_of::<$name>() as i128);
                $(
                    let path = concat!(stringify!($name), ".", stringify!($field));
                    numbers.insert(format!("offset {path}"), std::mem::offset_of!($name, $field) as i128);
                    numbers.insert(format!("size {path}"), bytes_of(|whole: &$name| &whole.$field) as i128);
                )+
            )+
            numbers
        }
    };
}

structures! {
    virtio_net_options { size, flags, feature_mask, tx_slots, rx_slots, tx_buffer_bytes, rx_buffer_bytes, rx_headroom,
        log_level, reset_timeout_us, fallback_mac, reserved }
    virtio_net_packet { cookie, data, device_address, length, flags, slot, csum_start, csum_offset, gso_size,
        header_length, gso_type, hash_type, segments, vlan, hash, reserved, timestamp_ns }
    virtio_net_info { size, state, device_features, features, legacy, link_up, mtu, max_frame_length, tx_slots,
        rx_slots, tx_buffer_bytes, rx_buffer_bytes, header_length, mac, mac_source, reserved }
    virtio_net_statistics { size, reserved, tx_frames, tx_bytes, tx_completed, tx_kicks, tx_rekicks, tx_full, tx_lost,
        rx_frames, rx_bytes, rx_kicks, rx_rekicks, rx_dropped_short, rx_dropped_long, rx_dropped_header, rx_lost,
        queues_broken, device_needs_reset, resets, interrupts, quarantined_bytes }
    virtio_net_error_detail { size, code, field, queue, found, wanted }
    virtio_net_reaped { slot, length_and_flags, cookie }
    virtio_net_taken { length, next, cookie }
    virtio_net_dma { address, device_address }
    virtio_net_queue_memory { queue, size, vector, flags, descriptors, driver_area, device_area }
    virtio_net_platform { size, flags, dma_alloc, dma_free, share, unshare, sync_for_device, sync_for_cpu, now_us,
        relax, random, log }
    virtio_net_transport { size, flags, properties, device_type, read_features, write_features, get_status, set_status,
        set_guest_page_size, queue_max, queue_used, queue_set, queue_reset, notify, interrupt_ack, config_generation,
        config_read, config_write }
}

/// The constants of the Rust files: `pub const NAME: TYPE = VALUE;`, all of them plain numbers.
fn constants() -> Numbers {
    let mut numbers = Numbers::new();
    for line in RUST.iter().flat_map(|text| text.lines()) {
        let Some((name, rest)) = line.trim().strip_prefix("pub const ").and_then(|line| line.split_once(':'))
        else {
            continue;
        };
        let value = rest.split_once('=').unwrap().1.trim().trim_end_matches(';');
        numbers.insert(name.into(), number(value).unwrap_or_else(|| panic!("{name} is {value}")));
    }
    numbers
}

fn number(text: &str) -> Option<i128> {
    let (text, sign) = text.strip_prefix('-').map_or((text, 1), |positive| (positive, -1));
    let text = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit()).replace('_', "");
    let value = text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| i128::from_str_radix(hex, 16).ok());
    value.map(|value| sign * value)
}

/// Structures and fields that the Rust files define.
fn fields() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut structure = None;
    for line in RUST.iter().flat_map(|text| text.lines()) {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            structure = Some(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap());
        } else if line == "}" {
            structure = None;
        } else if let (Some(structure), Some(field)) = (structure, line.trim().strip_prefix("pub ")) {
            found.insert(format!("{structure}.{}", field.split(':').next().unwrap()));
        }
    }
    found
}

/// The names of constants in the headers: of object-like macros with a value, and of enumerators.
fn constants_of_headers() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in HEADERS.iter().flat_map(|text| text.lines()) {
        let line = line.trim();
        let named = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(String::from);
        if let Some(rest) = line.strip_prefix("#define ") {
            let name = named(rest).unwrap();
            let value = &rest[name.len()..];
            let begins = |c: char| c.is_ascii_digit() || c == '-' || c == '(';
            if value.starts_with(' ') && value.trim_start().starts_with(begins) {
                found.insert(name);
            }
            continue;
        }
        let line = line.strip_prefix("enum {").unwrap_or(line);
        for part in line.split("/*").next().unwrap().split(',') {
            let Some((name, value)) = part.trim().split_once(" = ") else { continue };
            let is_name = name.starts_with("VIRTIO_NET_") && named(name).as_deref() == Some(name);
            if is_name && value.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
                found.insert(name.into());
            }
        }
    }
    found
}

/// A C program that prints the same numbers.
fn program(wanted: &Numbers) -> String {
    let mut text = String::from("#include \"virtio_net.h\"\n#include <stdio.h>\nint main(void)\n{\n");
    for name in wanted.keys() {
        let expression = match name.split_once(' ') {
            None => name.clone(),
            Some(("alignment", structure)) => format!("_Alignof(struct {structure})"),
            Some(("offset", path)) => format!("offsetof(struct {})", path.replace('.', ", ")),
            Some((_, path)) => match path.split_once('.') {
                None => format!("sizeof(struct {path})"),
                Some((structure, field)) => format!("sizeof(((struct {structure} *)0)->{field})"),
            },
        };
        writeln!(text, "    printf(\"%s=%lld\\n\", \"{name}\", (long long)({expression}));").unwrap();
    }
    text + "    return 0;\n}\n"
}

fn run(name: &str, source: &str) -> Numbers {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (c, executable) = (folder.join(name).with_extension("c"), folder.join(name));
    std::fs::write(&c, source).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut command = Command::new(&compiler);
    // Another folder's headers, to see that this test notices what differs there.
    let include = std::env::var("VIRTIO_NET_INCLUDE");
    let include = include.unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/include").into());
    command.args(["-std=c11", "-Wall", "-Werror", "-I", &include, "-o"]);
    let output = command.arg(&executable).arg(&c).output().unwrap();
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(&executable).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            (name.into(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn both_compilers_see_the_same_numbers() {
    let mut rust = structures();
    rust.extend(constants());
    assert!(rust.len() > 300, "only {} numbers were found", rust.len());
    let c = run("abi", &program(&rust));
    let differ: Vec<_> =
        rust.iter().filter(|(name, value)| c.get(*name) != Some(*value)).map(|(name, _)| name).collect();
    assert!(differ.is_empty(), "C and Rust differ about {differ:?}");
}

/// Nothing is left out above: every field in Rust, every constant in C.
#[test]
fn every_name_is_compared() {
    let compared: BTreeSet<String> =
        structures().keys().filter_map(|name| name.strip_prefix("offset ").map(String::from)).collect();
    let mut defined = fields();
    defined.retain(|field| !field.starts_with("virtio_net._"));
    assert_eq!(compared, defined);
    let rust: BTreeSet<String> = constants().into_keys().collect();
    assert_eq!(constants_of_headers(), rust);
}

/// The size of the storage, which both sides compute.
#[test]
fn storage_is_as_large_as_c_wants_it() {
    let mut wanted = String::from("#include \"virtio_net.h\"\n#include <stdio.h>\nint main(void)\n{\n");
    for slots in [2, 16, 256, 32768] {
        writeln!(wanted, "    printf(\"{slots}=%lld\\n\", (long long)VIRTIO_NET_STORAGE_BYTES({slots}, 16));")
            .unwrap();
    }
    for (slots, bytes) in run("storage", &(wanted + "    return 0;\n}\n")) {
        let slots: i128 = slots.parse().unwrap();
        let expected =
            i128::from(VIRTIO_NET_STORAGE_FIXED) + i128::from(VIRTIO_NET_STORAGE_PER_SLOT) * (slots + 16);
        assert_eq!(bytes, expected);
    }
}

/// The library that was linked is the one of these bindings.
#[test]
fn the_library_is_of_this_version() {
    // SAFETY: the function takes nothing and reads a constant.
    assert_eq!(unsafe { virtio_net_abi_version() }, VIRTIO_NET_ABI_VERSION);
    assert_eq!(VIRTIO_NET_ABI_MAJOR << 16 | VIRTIO_NET_ABI_MINOR, VIRTIO_NET_ABI_VERSION);
}
