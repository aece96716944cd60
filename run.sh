#!/usr/bin/env bash
# From a fresh clone to a running kernel: sets up what is missing, builds, boots in QEMU; `./run.sh test` runs every test.
# System packages come by apt; everything else stays in build/ and target/. `./run.sh help` lists what can be typed.
set -uo pipefail

readonly target=aarch64-unknown-none
readonly kernel=target/$target/release/kernel
readonly disk=build/disk.img
# What tests/targets builds for besides; none of it is needed to build or boot the kernel.
readonly other_targets=(aarch64-unknown-none-softfloat x86_64-unknown-none riscv64gc-unknown-none-elf)
readonly stages=(lint unit cross rust targets package qemu)

usage() {
    cat <<'END'
./run.sh [OPTIONS]        set up what is missing, build the kernel, boot it in QEMU; on a terminal it ends in
                          the kernel's serial monitor (`help` there lists its commands, `poweroff` ends it),
                          without one it is --check
./run.sh test [STAGE...]  run the tests, quick ones first: lint unit cross rust
                          targets package qemu
./run.sh bench [--quick]  measure the drivers: instructions, notifications, packets a second, sizes; --write renews
                          docs/performance.md. --counts [PATTERN...]: instructions only, in seconds (--simd: with
                          copies by vectors); --store: what the tests compare with (CC=gcc for either: with gcc)
./run.sh bench --host [--quick]  ns and instructions a packet on this machine, beside DPDK's virtio driver; --write renews
                          docs/performance-host.md
./run.sh clean            remove what was built
./run.sh help             this text

  --check           scripted boot: exit 0 only if the MAC, the disk's sector, an ARP answer, a DHCP lease and
                    a ping answer were seen
  --legacy          virtio-mmio version 1, QEMU's default (the default here too)
  --modern          virtio-mmio version 2
  --driver c|rust   who drives the network device: this project (the default), or the crate virtio-drivers
  --mac ADDR        MAC address of the network device
  --pcap FILE       record every frame, both ways
  --smp N           number of CPUs (default 1)
  --qemu-args ARGS  further arguments for QEMU, separated by blanks
END
}

say() { printf '==> %s\n' "$*" >&2; }
die() {
    printf 'run.sh: %s\n' "$*" >&2
    exit 1
}

# --- Running commands: each with a time limit, and none outlives this script ---

# Runs a command or function beside this shell, so that a signal here ends it at once.
attend() {
    "$@" </dev/null &
    wait "$!"
}

# limit SECONDS COMMAND...: `timeout` leads a process group of its own and ends all of it.
limit() {
    local status=0
    attend timeout --kill-after=10 "$@" || status=$?
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then
        printf 'run.sh: not finished within %s s: %s\n' "$1" "${*:2}" >&2
    fi
    return "$status"
}

# What runs is asked of the shell: it knows a command from its first moment on, which no variable does.
on_signal() {
    local running
    mapfile -t running <<<"$(jobs -pr)"
    kill -TERM "${running[@]}" 2>/dev/null
    wait
    exit "$1"
}

catch_signals() {
    trap 'on_signal 130' INT
    trap 'on_signal 143' TERM
    trap 'on_signal 129' HUP
}

# --- Set-up: system packages ---

# What a stage uses, one line each: a command, a file, or a *_found function here, and the Debian package that brings it.
needs() {
    case $1 in
    boot | targets | package | qemu)
        echo "qemu-system-aarch64 qemu-system-arm"
        echo "qemu-system-aarch64 ipxe-qemu"
        ;;&
    boot | lint | rust | targets | package | qemu)
        echo "/etc/ssl/certs/ca-certificates.crt ca-certificates"
        echo "cc gcc"
        echo "/usr/include/stdio.h libc6-dev"
        echo "clang_found clang-19"
        ;;&
    cross | rust | targets | package | qemu | bench)
        echo "python3 python3"
        echo "ensurepip_found python3-venv"
        ;;&
    lint)
        echo "clang-format-19 clang-format-19"
        echo "shellcheck shellcheck"
        ;;
    unit | cross | package)
        echo "cmake cmake"
        echo "ninja ninja-build"
        echo "gcc gcc"
        echo "clang-19 clang-19"
        echo "ld.lld-19 lld-19"
        echo "llvm-nm-19 llvm-19"
        ;;&
    unit)
        echo "/usr/include/cmocka.h libcmocka-dev"
        echo "/usr/lib/llvm-19/lib/clang/19/lib/linux libclang-rt-19-dev"
        ;;
    cross | targets | package)
        echo "aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu"
        echo "riscv64-unknown-elf-gcc gcc-riscv64-unknown-elf"
        ;;&
    qemu)
        echo "llvm-size-19 llvm-19"
        ;;
    targets)
        echo "llvm-nm-19 llvm-19"
        echo "qemu-system-x86_64 qemu-system-x86"
        echo "qemu-system-riscv64 qemu-system-misc"
        ;;
    package)
        echo "qemu-system-riscv64 qemu-system-misc"
        echo "git git"
        echo "make make"
        echo "pkg-config pkgconf"
        ;;
    cross)
        echo "g++ g++"
        echo "doxygen doxygen"
        echo "/usr/include/linux/virtio_net.h linux-libc-dev"
        ;;&
    cross | rust)
        echo "abidiff abigail-tools"
        ;;&
    bench)
        echo "aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu"
        echo "llvm-size-19 llvm-19"
        ;;
    rust)
        echo "clang-19 clang-19"
        echo "libclang_found libclang1-19"
        ;;
    hostbench)
        echo "cmake cmake"
        echo "ninja ninja-build"
        echo "gcc gcc"
        echo "/usr/include/stdio.h libc6-dev"
        echo "/usr/include/linux/vhost.h linux-libc-dev"
        echo "pkg-config pkg-config"
        echo "/usr/include/valgrind/callgrind.h valgrind"
        echo "valgrind valgrind"
        echo "python3 python3"
        ;;
    dpdk)
        echo "dpdk-testpmd dpdk-dev"
        echo "/usr/include/dpdk/rte_ethdev.h libdpdk-dev"
        ;;
    esac
}

# The C compiler for the kernel: clang 14 or later, by whatever name it has.
find_clang() {
    local name major
    for name in clang-19 clang-{14..18} clang-{20..30} clang; do
        command -v "$name" >/dev/null || continue
        major=$("$name" -dumpversion 2>/dev/null | cut -d. -f1)
        if [ "${major:-0}" -ge 14 ]; then
            echo "$name"
            return
        fi
    done
    return 1
}

clang_found() { find_clang >/dev/null; }
ensurepip_found() { python3 -c 'import ensurepip, venv' 2>/dev/null; }
libclang_found() { compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null; }

present() {
    case $1 in
    *_found) "$1" ;;
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

install_packages() {
    local root=()
    command -v apt-get >/dev/null || die "$(other_system "$@")"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "as root, type: apt-get install $*"
        root=(sudo)
    fi
    say "Installing $*"
    "${root[@]}" timeout --foreground 300 apt-get -q update </dev/null ||
        echo "run.sh: the package lists could not be renewed; using those that are there" >&2
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive timeout --foreground 1800 apt-get -q install -y \
        --no-install-recommends -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold "$@" </dev/null
}

# What to type where there is no apt.
other_system() {
    local rustup="rustup toolchain install stable --target $target"
    echo "missing here: $*. These are the Debian names; on this system type:"
    if command -v dnf >/dev/null; then
        echo "  sudo dnf install gcc clang lld qemu-system-aarch64-core rustup && rustup-init -y && $rustup"
    elif command -v pacman >/dev/null; then
        echo "  sudo pacman -S --needed gcc clang lld qemu-system-aarch64 rustup && $rustup"
    elif command -v zypper >/dev/null; then
        echo "  sudo zypper install gcc clang lld qemu-arm rustup && $rustup"
    elif command -v apk >/dev/null; then
        echo "  doas apk add gcc musl-dev clang lld qemu-system-aarch64 rustup && rustup-init -y && $rustup"
    else
        echo "  its own command to install gcc, clang (14 or later), lld, QEMU for aarch64 and rustup, then $rustup"
    fi
    echo "and run this again. ('./run.sh test' needs the named tools themselves; Debian 12 or Ubuntu 24.04 have them all.)"
}

# install_needs PART...: nothing is asked of the package manager when everything is there.
install_needs() {
    local part probe package missing=()
    for part in "$@"; do
        while read -r probe package; do
            present "$probe" && continue
            # Systems without clang 19 build the kernel with the clang they have; the tests name 19.
            [ "$probe" = clang_found ] && ! offered clang-19 && package=clang
            missing+=("$package")
        done < <(needs "$part")
    done
    [ "${#missing[@]}" = 0 ] && return
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    install_packages "${missing[@]}" || die "could not install; see above, then type: apt-get install ${missing[*]}"
}

# offered PACKAGE [VERSION]: apt would install it, and in that version or a later one.
offered() {
    local candidate
    command -v apt-cache >/dev/null || return
    candidate=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')
    [ -n "$candidate" ] && [ "$candidate" != '(none)' ] && dpkg --compare-versions "$candidate" ge "${2:-0}"
}

# --- Set-up: Rust ---

rust_bin=         # directory of the chosen rustc, cargo and rustdoc
build_std=()      # set where the standard library must be built for the target
readonly no_rustup=build/rustup-cannot-download

oldest_rust() { sed -n 's/^rust-version = "1\.\([0-9]*\).*"/\1/p' Cargo.toml; }

# toolchain DIRECTORY: it holds rustc and cargo, and they are new enough.
toolchain() {
    local minor
    if [ ! -x "$1/rustc" ] || [ ! -x "$1/cargo" ]; then return 1; fi
    minor=$("$1/rustc" --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge "$(oldest_rust)" ]
}

# first_toolchain TEST: the first toolchain that passes becomes rust_bin; the user's own choice is asked first. One after another
# in this shell: a slow rustc in a pipe that nobody reads to its end would outlive the script.
first_toolchain() {
    local own dir
    own=$("${RUSTC:-rustc}" --print sysroot 2>/dev/null)
    for dir in "$own/bin" "${RUSTUP_HOME:-$HOME/.rustup}"/toolchains/*/bin /usr/bin; do
        if toolchain "$dir" && "$1" "$dir"; then
            rust_bin=$dir
            return
        fi
    done
    return 1
}

# has_library DIRECTORY TARGET: whether the toolchain has the target's compiled library.
has_library() { compgen -G "$("$1/rustc" --print target-libdir --target "$2")/libcore-*" >/dev/null; }

has_sources() { [ -f "$("$1/rustc" --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; }
has_target() { has_library "$1" "$target"; }
of_rustup() { [[ $1 = */toolchains/* ]]; }

find_target() { first_toolchain has_target; }
find_sources() { first_toolchain has_sources && build_std=("-Zbuild-std=core,alloc"); }

# rustup may be there on machines that cannot reach its downloads: asked once, and the answer kept.
rustup_target() {
    command -v rustup >/dev/null && [ ! -e "$no_rustup" ] || return
    if first_toolchain of_rustup; then
        say "Asking rustup for the target $target"
        limit 120 rustup target add --toolchain "$(basename "${rust_bin%/bin}")" "$target" && return
    elif ! first_toolchain true; then
        say "Asking rustup for Rust and the target $target"
        limit 600 rustup toolchain install stable --profile minimal --target "$target" --component rustfmt,clippy && return
    fi
    mkdir -p build && touch "$no_rustup"
    return 1
}

debian_rust() {
    if offered rustc-web "1.$(oldest_rust)"; then
        install_packages rustc-web cargo-web rust-web-src lld-19 && find_sources
    elif offered rustup; then
        install_packages rustup && rustup_target && find_target
    else
        return 1
    fi
}

set_up_rust() {
    find_target || { rustup_target && find_target; } || find_sources || debian_rust ||
        die "no Rust 1.$(oldest_rust) for $target. Type 'rustup toolchain install stable --target $target'," \
            "or on Debian, with its security updates, 'apt-get install rustc-web cargo-web rust-web-src lld-19'"
    use_rust
}

# Later steps use the chosen toolchain whole: doctests fail when rustc and rustdoc are of two versions.
use_rust() {
    export PATH=$rust_bin:$PATH RUSTC=$rust_bin/rustc RUSTDOC=$rust_bin/rustdoc
    export CARGO_TERM_PROGRESS_WHEN=auto
    CC_aarch64_unknown_none=$(find_clang) && export CC_aarch64_unknown_none
    if ! compgen -G "$("$RUSTC" --print sysroot)/lib/rustlib/*/bin/rust-lld" >/dev/null; then
        CARGO_TARGET_AARCH64_UNKNOWN_NONE_LINKER=$(find_lld) ||
            { install_packages lld-19 && CARGO_TARGET_AARCH64_UNKNOWN_NONE_LINKER=$(find_lld); } ||
            die "no linker: type 'apt-get install lld-19'"
        export CARGO_TARGET_AARCH64_UNKNOWN_NONE_LINKER
    fi
}

# Rust's library for all targets: it comes with the toolchain, or by rustup, or is built from its sources.
set_up_targets() {
    local name missing=()
    for name in "$target" "${other_targets[@]}"; do
        has_library "$rust_bin" "$name" || missing+=("$name")
    done
    [ "${#missing[@]}" = 0 ] && return
    if [[ $rust_bin = */toolchains/* ]] && [ ! -e "$no_rustup" ]; then
        say "Asking rustup for ${missing[*]}"
        limit 300 rustup target add --toolchain "$(basename "${rust_bin%/bin}")" "${missing[@]}" && return
        mkdir -p build && touch "$no_rustup"
    fi
    if ! has_sources "$rust_bin"; then
        find_sources || debian_rust || die "no Rust library for ${missing[*]}: type 'rustup target add ${missing[*]}'"
        use_rust
        missing=("$target" "${other_targets[@]}")
    fi
    build_library "${missing[@]}"
}

# A sysroot of our own, once for each compiler. Its library is machine code and bitcode, for images linked in either way.
build_library() {
    local place=$PWD/build/targets/library work=build/targets/library-build name stamp
    stamp="$("$RUSTC" --version) $*"
    export TARGETS_SYSROOT=$place
    [ "$(cat "$place/stamp" 2>/dev/null)" = "$stamp" ] && return
    say "Building Rust's library for $*"
    rm -rf "$place" "$work"
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C embed-bitcode=yes" CARGO_TARGET_DIR=$work limit 1200 "$rust_bin/cargo" build --locked \
        --release --manifest-path tests/targets/Cargo.toml -p library "-Zbuild-std=core,alloc" "${@/#/--target=}" ||
        die "Rust's library was not built (see above)"
    for name; do
        mkdir -p "$place/lib/rustlib/$name/lib"
        cp "$work/$name"/release/deps/lib{core,alloc,compiler_builtins}-*.rlib "$place/lib/rustlib/$name/lib" ||
            die "Rust's library for $name is not where it was built"
    done
    echo "$stamp" >"$place/stamp"
}

find_lld() {
    local name
    for name in ld.lld-19 ld.lld-{14..18} ld.lld-{20..30} ld.lld; do
        command -v "$name" >/dev/null && echo "$name" && return
    done
    return 1
}

# for_target COMMAND...: cargo for the kernel's target. Only here is the standard library built, never for the host.
for_target() {
    local verb=$1
    shift
    if [ "${#build_std[@]}" = 0 ]; then
        limit 1800 "$rust_bin/cargo" "$verb" --locked --target "$target" "$@"
    else
        RUSTC_BOOTSTRAP=1 limit 1800 "$rust_bin/cargo" "$verb" --locked --target "$target" "${build_std[@]}" "$@"
    fi
}

for_host() { limit 1800 "$rust_bin/cargo" "$@"; }

# --- Set-up: Python packages, pinned, in a place of their own ---

set_up_python() { set_up_venv build/venv tests/requirements.txt pytest; }

# set_up_venv PLACE REQUIREMENTS MODULE
set_up_venv() {
    local venv=$1
    cmp -s "$2" "$venv/requirements.txt" && "$venv/bin/python" -c "import $3" 2>/dev/null && return
    say "Setting up the Python packages of $2"
    rm -rf "$venv"
    limit 120 python3 -m venv "$venv" || die "no Python environment: type 'apt-get install python3-venv'"
    limit 600 "$venv/bin/pip" install --disable-pip-version-check --require-hashes --only-binary :all: \
        -r "$2" || die "the Python packages could not be installed (see above)"
    cp "$2" "$venv/requirements.txt"
}

# --- Boot ---

# build_kernel [c|rust]: with this driver for the network device. Both are built to the same place; only the last one is there.
build_kernel() {
    local features=()
    [ "${1:-c}" = rust ] && features=(--features rust-net)
    say "Building the kernel${features[*]:+ with the network driver of virtio-drivers}"
    for_target build --release -p kernel ${features[@]+"${features[@]}"}
}

make_disk() {
    [ -s "$disk" ] && return
    mkdir -p build && head -c 1048576 /dev/urandom >"$disk.$$" && mv "$disk.$$" "$disk"
}

mode=auto driver=c transport=legacy mac=52:54:00:12:34:56 pcap='' cpus=1 extra=()

# The machine as an array: the disk is read-only so that several runs may share it.
machine() {
    qemu=(qemu-system-aarch64 -M virt -cpu cortex-a53 -m 512M -smp "$cpus" -nodefaults -display none -kernel "$kernel"
        -drive "if=none,id=disk0,format=raw,readonly=on,file=$disk" -device "virtio-blk-device,drive=disk0"
        -netdev "user,id=net0" -device "virtio-net-device,id=nic0,netdev=net0,mac=$mac")
    [ "$transport" = modern ] && qemu+=(-global virtio-mmio.force-legacy=false)
    [ -n "$pcap" ] && qemu+=(-object "filter-dump,id=dump0,netdev=net0,file=${pcap//,/,,}")
    qemu+=(${extra[@]+"${extra[@]}"})
}

boot() {
    install_needs boot
    set_up_rust
    build_kernel "$driver" || die "the kernel was not built (see above)"
    make_disk || die "could not write $disk"
    machine
    if [ "$mode" = check ] || { [ "$mode" = auto ] && [ ! -t 0 ]; }; then
        check_boot
    else
        say "Booting; 'help' lists the monitor's commands, 'poweroff' or Ctrl-A x ends it"
        exec "${qemu[@]}" -chardev stdio,id=console,mux=on,signal=off -serial chardev:console -mon chardev=console
    fi
}

check_boot() {
    local status=0 began=$SECONDS
    scratch=
    trap '[ -z "$scratch" ] || rm -rf "$scratch"' EXIT
    scratch=$(mktemp -d) || die "no place for temporary files"
    say "Booting (scripted, at most 90 s)"
    limit 90 "${qemu[@]}" -append check -serial chardev:console \
        -chardev "stdio,id=console,logfile=$scratch/serial" || status=$?
    tr -d '\r' <"$scratch/serial" >"$scratch/log" 2>/dev/null
    verdict "$status" "$scratch/log"
    say "All seen in $((SECONDS - began)) s: MAC address, disk sector, DHCP lease, ARP answer, ping answer"
}

# verdict STATUS LOG: every line must be there, and the sector must be the image's.
verdict() {
    local sector reason
    sector=$(head -c 32 "$disk" | od -An -v -tx1 | tr -d ' \n')
    expect() { grep -Eq "$1" "$log" || die "check failed: $2"; }
    local log=$2
    case $1 in
    0) ;;
    124 | 137) die "check failed: the machine was still running after 90 s" ;;
    *) die "check failed: QEMU ended with status $1" ;;
    esac
    expect "^VirtIO Net: MAC=${mac,,}\$" "the serial output has no line 'VirtIO Net: MAC=${mac,,}'"
    expect "^Disk: sector 0: $sector\$" "the sector printed is not that of $disk, or none was"
    expect '^DHCP: [0-9.]+/[0-9]+ gateway [0-9.]+' "no DHCP lease ($(grep -m1 '^DHCP:' "$log" || echo 'no line about DHCP'))"
    expect '^ARP: [0-9.]+ is at ([0-9a-f]{2}:){5}[0-9a-f]{2}$' "no ARP answer"
    expect '^Ping: [0-9.]+ seq [0-9]+ ' "no ping answer"
    reason=$(grep -m1 '^CHECK: failed' "$log") && die "check failed: the kernel says '$reason'"
    expect '^CHECK: ok$' "the kernel did not say 'CHECK: ok'"
}

# --- Tests ---

# No line has more than 130 columns, but for tables and blocks of code in Markdown, what is generated, and a line that is one
# word. In a multi-byte character only the first byte is counted.
short_lines() {
    find . \( -path ./build -o -path ./.git -o -name target \) -prune -o -type f \( \
        -name '*.[chS]' -o -name '*.cc' -o -name '*.rs' -o -name '*.py' -o -name '*.md' -o -name '*.toml' -o -name '*.cmake' \
        -o -name CMakeLists.txt -o -name Doxyfile -o -name '*.sed' -o -path ./run.sh -o -path './.ci/*' \) \
        ! -name virtio_net_platform.h ! -name bindings.rs -print0 | LC_ALL=C xargs -0 awk '
        FNR == 1 { markdown = FILENAME ~ /\.md$/; code = 0 }
        markdown && /^ *```/ { code = !code }
        code || NF < 2 || /^ *(\/\/[\/!] )?\|/ { next }
        { gsub(/[\200-\277]/, "") }
        length > 130 { printf "%s:%d: %d columns, and there should be 130 at most\n", FILENAME, FNR, length; found = 1 }
        END { exit found }' >&2
}

stage_lint() {
    local failed=0 sources features
    mapfile -t sources < <(find include c-driver docs tests -name '*.[ch]' ! -name virtio_net_platform.h -o -name '*.cc')
    clang-format-19 --style=file:.clang-format --dry-run -Werror "${sources[@]}" || failed=1
    shellcheck run.sh .ci/run || failed=1
    short_lines || failed=1
    for_host fmt --all --check || failed=1
    "$rust_bin/rustfmt" --check --edition 2024 tests/consumers/rust-crate/{build,src/main}.rs || failed=1
    for_host fmt --manifest-path tests/targets/Cargo.toml --all --check || failed=1
    # The images' lock file follows the crate's dependencies.
    for_host metadata --locked --format-version 1 --manifest-path tests/targets/Cargo.toml >/dev/null || failed=1
    if [ ! -x "$rust_bin/cargo-clippy" ]; then
        echo "run.sh: $rust_bin has no clippy, and no package brings it for this toolchain: clippy was not run" >&2
        return "$failed"
    fi
    for_host clippy --locked -p virtio-net-c -p xtask -p levitate-utils --all-targets -- -D warnings || failed=1
    for_host clippy --locked -p virtio-net-c --all-features --all-targets -- -D warnings || failed=1
    for features in "" virtio-drivers-0_12 virtio-drivers-0_13 alloc,virtio-drivers-0_13; do
        for_host clippy --locked -p virtio-net-c --no-default-features --features "$features" --all-targets \
            -- -D warnings || failed=1
    done
    RUSTDOCFLAGS="-D warnings" for_host doc --locked --quiet -p virtio-net-c --all-features --no-deps || failed=1
    for_target clippy --release -p kernel -p levitate-hal -p bench-kernel -- -D warnings || failed=1
    for_target clippy --release -p bench-size --features drop-in,own-transport -- -D warnings || failed=1
    for_target clippy --release -p kernel -p rust-net --features rust-net -- -D warnings || failed=1
    return "$failed"
}

# rustfmt and clippy are components of their own, in rustup and in Debian.
set_up_lint() {
    if [ ! -x "$rust_bin/cargo-fmt" ] || [ ! -x "$rust_bin/cargo-clippy" ]; then
        case $rust_bin in
        */toolchains/*) limit 300 rustup component add --toolchain "$(basename "${rust_bin%/bin}")" rustfmt clippy ;;
        *) [ -x "$rust_bin/cargo-fmt" ] || install_packages rustfmt-web ;;
        esac
    fi
    [ -x "$rust_bin/cargo-fmt" ] || die "no rustfmt in $rust_bin: type 'rustup component add rustfmt clippy'"
}

# The C library as a CMake preset builds it.
build_preset() {
    say "C with preset $1"
    limit 120 cmake --preset "$1" -DVIRTIO_NET_WERROR=ON && limit 900 cmake --build --preset "$1"
}

stage_unit() {
    local name failed=0
    for name in gcc-asan clang-asan clang-tsan; do
        { build_preset "$name" && limit 900 ctest --preset "$name" --no-tests=error; } || failed=1
    done
    return "$failed"
}

stage_cross() {
    local name failed=0
    for name in {aarch64,x86_64,riscv64,riscv64gc}-{gcc,clang} {aarch64,x86_64}-{gcc,clang}-simd; do
        build_preset "$name" || failed=1
    done
    run_pytest 1800 tests/abi --ignore=tests/abi/test_mutations.py || failed=1
    return "$failed"
}

stage_rust() {
    local failed=0
    for_host test --locked -p virtio-net-c || failed=1
    # The examples in the documentation run in the other two, over one version each.
    for_host test --locked -p virtio-net-c --all-features --all-targets || failed=1
    for_host test --locked -p virtio-net-c --no-default-features --features alloc,virtio-drivers-0_13 || failed=1
    # Without a heap the drop-in's driver is set up in another place, and moves.
    for_host test --locked -p virtio-net-c --no-default-features --features virtio-drivers-0_12 || failed=1
    # What the stack is used for shows with optimisation only.
    for_host test --locked --release -p virtio-net-c --test footprint || failed=1
    for_host test --locked --release -p virtio-net-c --no-default-features --features virtio-drivers-0_12 \
        --test footprint || failed=1
    limit 600 "$rust_bin/cargo" test --locked -p virtio-net-c --test consumer -- --ignored || failed=1
    for_host test --locked -p levitate-utils || failed=1
    for_host run --locked -p xtask -- check || failed=1
    run_pytest 1800 tests/abi/test_mutations.py || failed=1
    return "$failed"
}

# Minimal kernels, each built and booted by its row of a table.
stage_targets() {
    TARGETS_CLANG=$(find_clang) TARGETS_LLD=${CARGO_TARGET_AARCH64_UNKNOWN_NONE_LINKER:-} run_pytest 3600 tests/targets
}

# The packages as strangers use them. Their tests call Cargo and CMake themselves.
stage_package() { BUILD_STD="${build_std[*]}" run_pytest 3600 -n 2 --dist loadfile tests/consumers; }

# The kernel with the other driver is put aside, for the tests that compare both.
stage_qemu() {
    local failed=0
    { build_kernel rust && cp "$kernel" build/kernel-rust-net && build_kernel && make_disk &&
        run_pytest 3600 -n 2 tests/qemu; } || failed=1
    { for_target build --release -p bench-kernel --features simd &&
        cp "target/$target/release/bench-kernel" build/bench-kernel-simd &&
        for_target build --release -p bench-kernel && build_size_images && run_pytest 1800 tests/bench; } || failed=1
    return "$failed"
}

run_pytest() { limit "$1" build/venv/bin/pytest -p no:cacheprovider --basetemp="$PWD/build/pytest" "${@:2}"; }

# A stage runs in a shell of its own, where a signal must end what it started.
run_stage() {
    catch_signals
    "stage_$1"
}

run_tests() {
    local stage began status passed=0 failed=0 table=''
    [ $# = 0 ] && set -- "${stages[@]}"
    for stage in "$@"; do
        [[ " ${stages[*]} " = *" $stage "* ]] || die "no stage '$stage'; there are: ${stages[*]}"
    done
    install_needs "$@"
    if [[ " $* " =~ \ (lint|rust|targets|package|qemu)\  ]]; then set_up_rust; fi
    if [[ " $* " =~ \ targets\  ]]; then set_up_targets; fi
    if [[ " $* " =~ \ lint\  ]]; then set_up_lint; fi
    if [[ " $* " =~ \ (cross|rust|targets|package|qemu)\  ]]; then set_up_python; fi
    export CTEST_PARALLEL_LEVEL=2 PYTHONDONTWRITEBYTECODE=1
    for stage in "$@"; do
        say "Stage $stage"
        began=$SECONDS status=passed
        attend run_stage "$stage" || status=FAILED
        if [ "$status" = passed ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
        table+=$(printf '%-8s %-8s %5d s' "$stage" "$status" $((SECONDS - began)))$'\n'
    done
    printf '\n%s%d passed, %d failed\n' "$table" "$passed" "$failed"
    [ "$failed" = 0 ]
}

# --- Bench ---

# build_bench COMPILER PACKAGE NAME [ARGUMENT...]: an image for the bench, kept as build/bench/NAME.
build_bench() {
    CC_aarch64_unknown_none=$1 for_target build --quiet --release -p "$2" "${@:4}" || die "$2 was not built (see above)"
    mkdir -p "$(dirname "build/bench/$3")"
    cp "target/$target/release/$2" "build/bench/$3" || die "build/bench/$3 was not written"
}

# What the stored table's sizes are of, and the test's that compares with it: with the kernel's compiler.
build_size_images() {
    local name
    for name in '' transport drop-in own-transport; do
        build_bench "$CC_aarch64_unknown_none" bench-size "stored/size-$name" --features "$name"
    done
}

build_bench_images() {
    local name
    build_bench "$BENCH_CLANG" bench-kernel kernel-clang
    build_bench "$BENCH_GCC" bench-kernel kernel-gcc
    build_bench "$BENCH_CLANG" bench-kernel kernel-simd-clang --features simd
    build_bench "$BENCH_GCC" bench-kernel kernel-simd-gcc --features simd
    build_bench "$BENCH_CLANG" bench-kernel kernel-tally --features tally
    for name in '' transport virtio-drivers-net drop-in own-transport; do
        build_bench "$BENCH_CLANG" bench-size "size-$name" --features "$name"
    done
}

run_bench() {
    local python=python3 features=()
    export BENCH_CLANG BENCH_GCC=aarch64-linux-gnu-gcc
    install_needs boot bench
    set_up_rust
    BENCH_CLANG=$(find_clang) || die "no clang"
    if [[ " $* " =~ \ --(counts|store)\  ]]; then
        [[ ${CC:-clang} = *gcc* ]] && CC_aarch64_unknown_none=$BENCH_GCC
        [[ " $* " =~ \ --simd\  ]] && features=(--features simd)
        if [[ " $* " =~ \ --store\  ]]; then
            build_bench "$CC_aarch64_unknown_none" bench-kernel kernel-simd --features simd
            build_size_images
        fi
        build_bench "$CC_aarch64_unknown_none" bench-kernel kernel ${features[@]+"${features[@]}"}
    else
        set_up_venv build/bench-venv tests/bench/requirements.txt matplotlib
        python=build/bench-venv/bin/python
        say "Building the bench's images"
        build_bench_images
    fi
    limit 3600 "$python" tests/bench/bench.py --kernels build/bench "$@"
}

# Without DPDK the model device is measured, and the exit code is 3.
run_host_bench() {
    local cc=${CC:-gcc}
    install_needs hostbench
    if ! (install_needs dpdk); then
        echo "run.sh: no DPDK: nothing to compare with (on Debian: apt-get install dpdk-dev libdpdk-dev)" >&2
    fi
    say "The host bench, with $cc"
    limit 120 cmake -S tests/hostbench -B "build/hostbench-$cc" -G Ninja -DCMAKE_C_COMPILER="$cc" >/dev/null ||
        die "the host bench was not configured"
    limit 600 cmake --build "build/hostbench-$cc" >&2 || die "the host bench was not built"
    CC=$cc limit 3600 python3 tests/hostbench/hostbench.py --build "build/hostbench-$cc" --output build/bench/host.json "$@"
}

# --- Command line ---

here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")" || exit
catch_signals

verb=boot arguments=()
value() { [ $# -ge 2 ] || die "$1 needs a value; './run.sh help' lists the options"; }
while [ $# -gt 0 ]; do
    if [ "$verb" = bench ]; then
        arguments+=("$1")
        shift
        continue
    fi
    case $1 in
    --check) mode=check ;;
    --legacy | --modern) transport=${1#--} ;;
    --driver)
        value "$@" && driver=$2 && shift
        [[ $driver = c || $driver = rust ]] || die "--driver is 'c' or 'rust'"
        ;;
    --mac) value "$@" && mac=$2 && shift ;;
    --pcap) value "$@" && pcap=$2 && shift ;;
    --smp) value "$@" && cpus=$2 && shift ;;
    --qemu-args) value "$@" && read -ra extra <<<"$2" && shift ;;
    -h | --help | help) usage && exit ;;
    test | bench | clean) verb=$1 ;;
    *)
        [ "$verb" = test ] || die "unknown argument '$1'; './run.sh help' lists what can be typed"
        arguments+=("$1")
        ;;
    esac
    shift
done
[[ -z $pcap || $pcap = /* ]] || pcap=$here/$pcap

case $verb in
boot) boot ;;
test) run_tests ${arguments[@]+"${arguments[@]}"} ;;
bench)
    if [ "${arguments[0]:-}" = --host ]; then
        run_host_bench ${arguments[@]+"${arguments[@]:1}"}
    else
        run_bench ${arguments[@]+"${arguments[@]}"}
    fi
    ;;
clean) rm -rf build target ;;
esac
