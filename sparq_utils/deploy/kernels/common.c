/* How the layers work. What stands above was made for one network; this part is the same for all.

   Layers follow one another, and in each of them all steps of time. A layer goes from window to
   window: it adds up what arrives there, weighted, then lets the neurons answer. Their answers
   become a map, which may have a rim of zeros, so that no window needs care at the border. */

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are words whose first byte is the lowest"
#endif

#if defined(__ARM_FEATURE_SIMD32) && !defined(PLAIN)
#define TWO_AT_ONCE /* additions and multiplications of two half words in one instruction */
#include <arm_acle.h>
#endif

#if defined(__GNUC__)
#define LAYER static __attribute__((noinline))                      /* a function for each layer */
#define GENERAL static inline __attribute__((always_inline, unused)) /* made to measure in each */
#else
#define LAYER static
#define GENERAL static inline
#endif

/* A loop that had better stay one: unrolled, it would want more registers than there are. */
#if defined(__clang__)
#define ROLLED _Pragma("clang loop unroll(disable)")
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define ROLLED
#define UNROLLED
#endif

/* Loads behind this stay behind it: made early, they too would want registers. */
#define IN_ORDER __asm__ volatile("" ::: "memory")

/* What arrives: PIXELS stay the same at every step, what is HANDED on meets no weight. */
enum { PIXELS, SPIKES, HANDED };

typedef struct {
    int32_t rows, pieces, bytes; /* of the window; a row is met in pieces of so many bytes */
    int32_t row, plane, planes;  /* bytes from a row or a plane to the next; planes of a lane */
    int32_t together;            /* pieces whose sum surely fits 16 bits; 0: all, of all planes */
    int32_t outputs, block;      /* neurons that the window reaches; those summed at once */
    int32_t narrow;              /* whether the sums fit 16 bits */
} window;

typedef struct {
    int32_t field;              /* neurons that share a byte: eight, or all of a position */
    int32_t row, plane, planes; /* bytes from a row or a plane to the next; planes of a lane */
} map;

/* Of a window, lane by lane: what arrives at each neuron, in 16 bits if it fits. */
static union {
    int32_t wide[SUMS];
    int16_t narrow[2 * (SUMS)];
    uint32_t pairs[SUMS];
} sums;

#define PADDED(w) (((w)->outputs + (w)->block - 1) / (w)->block * (w)->block)

/* Up to four bytes as a number, the first the lowest: mostly a single load. */
GENERAL uint32_t word(const uint8_t *x, int bytes)
{
#if defined(__GNUC__)
    if (bytes == 4) {
        uint32_t four;
        __builtin_memcpy(&four, x, 4);
        return four;
    }
#endif
    uint32_t all = 0;
    for (int i = 0; i < bytes; i++)
        all |= (uint32_t)x[i] << 8 * i;
    return all;
}

/* Two bytes as half words: one of them, if there is no other. */
GENERAL uint32_t two_apart(const uint8_t *x, int bytes)
{
#if defined(__GNUC__)
    if (bytes == 2) {
        uint16_t two;
        __builtin_memcpy(&two, x, 2);
        return (two | (uint32_t)two << 8) & 0x00FF00FF;
    }
#endif
    return bytes == 2 ? x[0] | (uint32_t)x[1] << 16 : x[0];
}

GENERAL uint32_t turned(uint32_t four) { return four >> 8 | four << 24; }

GENERAL void clear(uint8_t *map, int bytes)
{
    for (int i = 0; i < bytes; i++)
        map[i] = 0;
}

/* The image, as the numbers that the network takes its pixels for, inside a rim. */
GENERAL void frame(const uint8_t *image, uint8_t *to, int rows, int bytes, int row)
{
    for (int y = 0; y < rows; y++)
        for (int i = 0; i < bytes; i++)
            to[y * row + i] = PIXEL(*image++);
}

/* Add what two numbers, half words of one, bring to two neurons for each word of weights. Its
   bytes: the first number to the one neuron, to the other, then the second number to both. */
GENERAL void add_two(int32_t *to, uint32_t numbers, const uint32_t *weights, int words)
{
    for (int i = 0; i < words; i++, to += 2) {
#ifdef TWO_AT_ONCE
        to[0] = __smlad((int16x2_t)numbers, __sxtb16((int8x4_t)weights[i]), to[0]);
        to[1] = __smlad((int16x2_t)numbers, __sxtb16((int8x4_t)turned(weights[i])), to[1]);
#else
        const int8_t *weight = (const int8_t *)(weights + i);
        int32_t first = numbers & 0xFFFF, second = numbers >> 16;
        to[0] += first * weight[0] + second * weight[2];
        to[1] += first * weight[1] + second * weight[3];
#endif
    }
}
