//! Where the `log` records of drivers and network stack go: to the console, in a verbose kernel.

use log::{LevelFilter, Log, Metadata, Record};

struct ConsoleLogger;

impl Log for ConsoleLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The driver crate tells each probe at `info`, which the kernel prints itself.
        metadata.level() <= log::Level::Warn || !metadata.target().starts_with("virtio_drivers")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            crate::verbose!("{}: {}: {}", record.level(), record.target(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Takes the records from now on.
pub fn init() {
    if log::set_logger(&ConsoleLogger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}
