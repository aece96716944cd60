/*
 * io.h - the only places where the driver touches memory that the device can change, and its registers.
 *
 * Ring memory is read and written through these accessors and through nothing else, each value once, into a local that is then
 * checked. They carry the ordering too: avail.idx is stored with release, used.idx is loaded with acquire, and one full
 * barrier stands between the store of one side's index and the load of the other side's event (virtio 1.2, 2.7.13, 2.7.7.1).
 *
 * Everything is little-endian (1.2, 1.4); a legacy device uses the guest's order, which on the machines supported is the same.
 */
#ifndef VIRTIO_IO_H
#define VIRTIO_IO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the driver is written for little-endian machines"
#endif

#if defined(__GNUC__)
#define VIRTIO_LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define VIRTIO_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define VIRTIO_COLD                __attribute__((cold, noinline))
#define VIRTIO_NOINLINE            __attribute__((noinline))
#define VIRTIO_INLINE              static inline __attribute__((always_inline))
#else
#define VIRTIO_LIKELY(condition)   (condition)
#define VIRTIO_UNLIKELY(condition) (condition)
#define VIRTIO_COLD
#define VIRTIO_NOINLINE
#define VIRTIO_INLINE static inline
#endif

/* Around what no packet passes through: it is compiled for size. VIRTIO_SMALL does the same to one function. gcc has no such
 * words: the builds (CMakeLists.txt, ffi/build.rs) look for the first of these in a source, and compile all of it so. */
#if defined(__clang__)
#define VIRTIO_SMALL_BEGIN _Pragma("clang attribute push(__attribute__((minsize)), apply_to = function)")
#define VIRTIO_SMALL_END   _Pragma("clang attribute pop")
#define VIRTIO_SMALL       __attribute__((minsize, noinline))
#else
#define VIRTIO_SMALL_BEGIN
#define VIRTIO_SMALL_END
#define VIRTIO_SMALL VIRTIO_COLD
#endif

/* After a pointer was stepped on, next to the access it was stepped from: keeps the compiler from moving the step to the end of
 * the loop, where it would be an instruction of its own instead of a part of the access (Arm). */
#if defined(__aarch64__)
#define VIRTIO_STEPPED(pointer) __asm__("" : "+r"(pointer))
#else
#define VIRTIO_STEPPED(pointer) ((void)(pointer))
#endif

/* Hides from gcc where a value comes from, where what it makes of that is an instruction more on Arm: it clears the upper bits of
 * an index of 16 bits for each address again, takes constants out of accesses that could hold them, and puts the two halves of a
 * result together before it has to. Volatile, so that it stays where it is: one instruction less in one call. */
#if defined(__aarch64__) && defined(__GNUC__) && !defined(__clang__)
#define VIRTIO_OPAQUE(value) __asm__ volatile("" : "+r"(value))
#else
#define VIRTIO_OPAQUE(value) ((void)(value))
#endif

/* In front of a return that ends with a call of the same type, where clang would come back for a structure, and make a frame for
 * that in front of everything. */
#if defined(__clang__) && (defined(__aarch64__) || defined(__x86_64__))
#define VIRTIO_TAIL __attribute__((musttail))
#else
#define VIRTIO_TAIL
#endif

/* Internal symbols that cross files: invisible outside a shared object, so that the archive links beside other drivers. */
#if defined(__GNUC__)
#define VIRTIO_HIDDEN __attribute__((visibility("hidden")))
#else
#define VIRTIO_HIDDEN
#endif

/*
 * The tests' device lives in the same process. A build with VIRTIO_MODEL asks it for each register, and tells it of each read
 * of shared memory right after it happened, so that it can change what was read: a second read of the same field is then seen.
 */
#ifdef VIRTIO_MODEL
uint32_t virtio_model_read(const volatile void *address, unsigned width);
void virtio_model_write(volatile void *address, unsigned width, uint32_t value);
void virtio_model_fetched(const volatile void *address, unsigned width);
#else
VIRTIO_INLINE void virtio_model_fetched(const volatile void *address, unsigned width)
{
    (void)address;
    (void)width;
}
#endif

/* An access that is one, whole, and need be ordered against no other: a relaxed atomic one. gcc spends an instruction more on
 * each of those (the sum of an address, a zero-extension) than on a volatile one, which is the same instruction otherwise. */
#if defined(__GNUC__) && !defined(__clang__)
#define LOAD_RELAXED(type, address)         (*(const volatile type *)(address))
#define STORE_RELAXED(type, address, value) (void)(*(volatile type *)(address) = (value))
#else
#define LOAD_RELAXED(type, address)         atomic_load_explicit((const _Atomic type *)(address), memory_order_relaxed)
#define STORE_RELAXED(type, address, value) atomic_store_explicit((_Atomic type *)(address), value, memory_order_relaxed)
#endif

/* -------------------------------------------------------------------------------------------------- shared memory */

/* A load of 16 or 8 bits leaves zeros above them. gcc does not know that of one that is volatile or atomic, on aarch64: it clears
 * them by an instruction more. */
#if defined(__aarch64__) && defined(__GNUC__) && !defined(__clang__) && !defined(VIRTIO_MODEL)
VIRTIO_INLINE uint32_t load_half(const uint16_t *address)
{
    uint32_t value;
    __asm__ volatile("ldrh %w0, %1" : "=r"(value) : "m"(*address));
    return value;
}

VIRTIO_INLINE uint32_t load_half_acquire(const uint16_t *address)
{
    uint32_t value;
    __asm__ volatile("ldarh %w0, %1" : "=r"(value) : "Q"(*address) : "memory");
    return value;
}

VIRTIO_INLINE uint32_t load_byte(const uint8_t *address)
{
    uint32_t value;
    __asm__ volatile("ldrb %w0, %1" : "=r"(value) : "m"(*address));
    return value;
}
#else
VIRTIO_INLINE uint32_t load_half(const uint16_t *address)
{
    return LOAD_RELAXED(uint16_t, address);
}

VIRTIO_INLINE uint32_t load_half_acquire(const uint16_t *address)
{
    return atomic_load_explicit((const _Atomic uint16_t *)address, memory_order_acquire);
}

VIRTIO_INLINE uint32_t load_byte(const uint8_t *address)
{
    return LOAD_RELAXED(uint8_t, address);
}
#endif

VIRTIO_INLINE uint32_t shared_load_acquire16(const uint16_t *address)
{
    uint32_t value = load_half_acquire(address);
    virtio_model_fetched(address, sizeof *address);
    return value;
}

VIRTIO_INLINE uint32_t shared_load16(const uint16_t *address)
{
    uint32_t value = load_half(address);
    virtio_model_fetched(address, sizeof *address);
    return value;
}

VIRTIO_INLINE uint8_t shared_load8(const uint8_t *address)
{
    uint8_t value = *(const volatile uint8_t *)address;
    virtio_model_fetched(address, sizeof value);
    return value;
}

VIRTIO_INLINE uint32_t shared_load32(const uint32_t *address)
{
    uint32_t value = *(const volatile uint32_t *)address;
    virtio_model_fetched(address, sizeof value);
    return value;
}

/* Two neighbours, for used elements, and a step to the next two. On aarch64 by one instruction, which compilers do not make of
 * volatile reads, and which needs the alignment of one of the two only. */
VIRTIO_INLINE void shared_load32_pair(const uint32_t **address, uint32_t *first, uint32_t *second)
{
#if defined(__aarch64__) && !defined(VIRTIO_MODEL)
    __asm__ volatile("ldp %w0, %w1, [%2], #8" : "=r"(*first), "=r"(*second), "+r"(*address)::"memory");
#else
    *first = shared_load32(*address);
    *second = shared_load32(*address + 1);
    *address += 2;
#endif
}

VIRTIO_INLINE void shared_store_release16(uint16_t *address, uint16_t value)
{
    atomic_store_explicit((_Atomic uint16_t *)address, value, memory_order_release);
}

/* For fields that the device may read at any time and whose order does not matter (flags, used_event). */
VIRTIO_INLINE void shared_store16(uint16_t *address, uint16_t value)
{
    STORE_RELAXED(uint16_t, address, value);
}

/* A byte that one thread writes and any may read. */
VIRTIO_INLINE uint32_t flag_read(const uint8_t *flag)
{
    return load_byte(flag);
}

VIRTIO_INLINE void flag_write(uint8_t *flag, uint8_t value)
{
    STORE_RELAXED(uint8_t, flag, value);
}

/* Words for clearing and copying memory of any type. */
#if defined(__GNUC__)
typedef uint64_t __attribute__((may_alias)) any_word;
#else
typedef unsigned char any_word;
#endif

/* Clears memory that is aligned to words and a whole number of them; the length is in bytes. */
VIRTIO_INLINE void clear_words(void *memory, uint32_t bytes)
{
    volatile any_word *words = memory; /* volatile: or the compiler calls memset */
    for (uint32_t word = 0; word < bytes / sizeof *words; word++)
        words[word] = 0;
}

/* ----------------------------------------------------------------------------------------------------------- counters */

/* A counter has one writer and may be read by anybody. Where a word holds it, no reader sees half of a change. */
#if UINTPTR_MAX > 0xffffffff
VIRTIO_INLINE uint64_t counter_read(const uint64_t *counter)
{
    return LOAD_RELAXED(uint64_t, counter);
}

VIRTIO_INLINE void counter_add(uint64_t *counter, uint64_t amount)
{
    STORE_RELAXED(uint64_t, counter, counter_read(counter) + amount);
}
#else
VIRTIO_INLINE uint64_t counter_read(const uint64_t *counter)
{
    return *(const volatile uint64_t *)counter;
}

VIRTIO_INLINE void counter_add(uint64_t *counter, uint64_t amount)
{
    *(volatile uint64_t *)counter += amount;
}
#endif

/* ----------------------------------------------------------------------------------------------------------- barriers */

/* Orders every access before it against every access after it. */
VIRTIO_INLINE void barrier_full(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

/* Orders stores to memory before a store to a register. A C11 fence does not do that on every machine: on RISC-V it leaves the
 * input/output accesses out, and on Arm it covers the inner shareable domain only. */
VIRTIO_INLINE void barrier_memory_before_io_write(void)
{
#if defined(__aarch64__)
    __asm__ volatile("dmb oshst" ::: "memory");
#elif defined(__riscv)
    __asm__ volatile("fence rw, o" ::: "memory");
#elif defined(__arm__)
    __asm__ volatile("dmb" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
    atomic_thread_fence(memory_order_release);
#endif
}

/* Orders the write of a register before loads from memory. */
VIRTIO_INLINE void barrier_io_write_before_memory(void)
{
#if defined(__aarch64__)
    __asm__ volatile("dmb osh" ::: "memory");
#elif defined(__riscv)
    __asm__ volatile("fence o, r" ::: "memory");
#elif defined(__arm__)
    __asm__ volatile("dmb" ::: "memory");
#else
    barrier_full();
#endif
}

/* Orders the read of a register before what follows, memory and registers. */
VIRTIO_INLINE void barrier_io_read_before_all(void)
{
#if defined(__aarch64__)
    __asm__ volatile("dmb oshld" ::: "memory");
#elif defined(__riscv)
    __asm__ volatile("fence i, iorw" ::: "memory");
#elif defined(__arm__)
    __asm__ volatile("dmb" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
    atomic_thread_fence(memory_order_acquire);
#endif
}

/* ----------------------------------------------------------------------------------------------------------- registers */

/* On aarch64 a register access must be a plain load or store of one register: the forms with write-back that a compiler may
 * choose for volatile cannot be emulated by a hypervisor, because they leave no syndrome. */
VIRTIO_INLINE uint32_t register_read(const volatile void *address, unsigned width)
{
    uint32_t value = 0;
#ifdef VIRTIO_MODEL
    value = virtio_model_read(address, width);
#elif defined(__aarch64__)
    switch (width) {
    case 1:
        __asm__ volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
        break;
    case 2:
        __asm__ volatile("ldrh %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
        break;
    default:
        __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
        break;
    }
#else
    switch (width) {
    case 1:
        value = *(const volatile uint8_t *)address;
        break;
    case 2:
        value = *(const volatile uint16_t *)address;
        break;
    default:
        value = *(const volatile uint32_t *)address;
        break;
    }
#endif
    barrier_io_read_before_all();
    return value;
}

VIRTIO_INLINE void register_write32(volatile void *address, uint32_t value)
{
    barrier_memory_before_io_write();
#ifdef VIRTIO_MODEL
    virtio_model_write(address, 4, value);
#elif defined(__aarch64__)
    __asm__ volatile("str %w0, [%1]" ::"r"(value), "r"(address) : "memory");
#else
    *(volatile uint32_t *)address = value;
#endif
}

#endif /* VIRTIO_IO_H */
