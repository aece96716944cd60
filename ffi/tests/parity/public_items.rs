//! What the original's net module makes public, read from its source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is compiled against both sides.
const SIGNATURES: &str = include_str!("signatures.rs");

/// The folder of a package of this workspace's lock file, whose name and version begin so.
fn source_of(package: &str) -> PathBuf {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest])
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata = String::from_utf8(output.stdout).unwrap();
    let path = metadata
        .split("\"manifest_path\":\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|path| path.contains(&format!("/{package}")));
    Path::new(path.unwrap_or_else(|| panic!("no package {package} in the metadata"))).parent().unwrap().into()
}

/// The text without what stands between `<` and `>`.
fn without_generics(line: &str) -> String {
    let mut depth = 0;
    line.replace("->", "").chars().fold(String::new(), |mut text, c| {
        depth += i32::from(c == '<');
        text.extend((depth == 0).then_some(c));
        depth -= i32::from(c == '>');
        text
    })
}

/// Public functions with the type that they are of, public types, and traits implemented for them: `VirtIONet::new`, `TxBuffer`,
/// `impl Drop for VirtIONetRaw`.
fn items(source: &str) -> Vec<String> {
    let (mut found, mut of) = (Vec::new(), String::new());
    for line in source.lines() {
        let plain = without_generics(line);
        let words: Vec<&str> =
            plain.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
        match words[..] {
            ["impl", what, "for", whose, ..] => {
                found.push(format!("impl {what} for {whose}"));
                of = whose.into();
            }
            ["impl", whose, ..] => of = whose.into(),
            _ if !line.trim_start().starts_with("pub ") => {}
            ["pub", "use", ref names @ ..] => {
                found.extend(
                    names.iter().filter(|name| name.starts_with(char::is_uppercase)).map(|name| (*name).into()),
                );
            }
            ["pub", "const" | "unsafe" | "fn", ..] if words.contains(&"fn") => {
                let name = words.iter().skip_while(|word| **word != "fn").nth(1).unwrap();
                found.push(if line.starts_with("pub") { (*name).into() } else { format!("{of}::{name}") });
            }
            ["pub", _, name, ..] => found.push(name.into()),
            _ => {}
        }
    }
    found
}

/// Implementations that a user cannot see: `Drop` is the driver's own affair, and the others are of private types.
const UNSEEN: [&str; 2] = ["impl Drop for VirtIONetRaw", "impl From for VirtioNetHdr"];

/// Every public item of the original's net module is in the text that is compiled against ours.
pub fn compare(package: &str) {
    let folder = source_of(package).join("src/device/net");
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        all.extend(items(&fs::read_to_string(entry.unwrap().path()).unwrap()));
    }
    all.sort();
    all.dedup();
    // A search that finds nothing would agree with everything.
    assert!(all.len() >= 35 && all.iter().any(|item| item == "VirtIONetRaw::receive_wait"), "{all:#?}");
    let missing: Vec<_> =
        all.iter().filter(|item| !SIGNATURES.contains(*item) && !UNSEEN.contains(&item.as_str())).collect();
    assert!(missing.is_empty(), "{package} has public items that signatures.rs does not name: {missing:#?}");
}

#[test]
fn items_are_found_in_any_form() {
    let source = "
pub struct Card<H: Hal> {
pub const LIMIT: usize = 1;
pub use self::{dev::Card, net_buf::Buffer};
pub(crate) struct Hidden;
impl<H: Hal, T: Transport, const N: usize> Card<H, T, N> {
    pub fn new() -> Self {
    fn private() {
    pub(crate) fn internal() {
    pub const unsafe fn length(&self) -> usize {
impl Buffer {
    pub unsafe fn take(&mut self) {
impl<H: Hal> Iterator for Card<H> {
impl From<&Legacy> for Buffer {
pub fn free() {
";
    let expected = [
        "Card",
        "LIMIT",
        "Card",
        "Buffer",
        "Card::new",
        "Card::length",
        "Buffer::take",
        "impl Iterator for Card",
        "impl From for Buffer",
        "free",
    ];
    assert_eq!(items(source), expected);
}
