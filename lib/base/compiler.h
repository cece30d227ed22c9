/* Compiler extensions, each behind one macro. Where a compiler has none of them the macros are empty. */
#ifndef EL_BASE_COMPILER_H
#define EL_BASE_COMPILER_H

/*
 * EL_TARGET("avx2,fma"): compiles one function for instructions that the rest of the build does not use. The caller has asked the
 * CPU first. A function that is inlined into it must have the same target.
 */
#if defined(__GNUC__) && defined(__x86_64__)
#define EL_TARGET(isa) __attribute__((target(isa)))
#define EL_X86 1
#else
#define EL_TARGET(isa)
#define EL_X86 0
#endif

/*
 * 64-bit ARM, little-endian, with Advanced SIMD: part of every build for it. What comes on top is compiled by files of its own,
 * for which the Makefile has the flags: clang 14 has the intrinsics of an extension only where the whole file may use it.
 */
#if defined(__GNUC__) && defined(__AARCH64EL__) && defined(__ARM_NEON)
#define EL_ARM64 1
#else
#define EL_ARM64 0
#endif

_Static_assert(!(EL_X86 || EL_ARM64) || sizeof(void *) == 8, "the kernels of x86 and ARM are for 64-bit pointers");

/* A body that is instantiated by calling it with constants: the tile sizes of the kernels. */
#if defined(__GNUC__)
#define EL_INLINE static inline __attribute__((always_inline))
#else
#define EL_INLINE static inline
#endif

/* In front of a loop over a constant number of registers: unrolls it fully, so that small arrays become registers. */
#if defined(__clang__)
#define EL_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define EL_UNROLL _Pragma("GCC unroll 16")
#else
#define EL_UNROLL
#endif

#endif
