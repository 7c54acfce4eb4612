/* ---- Events: what has not arrived costs nothing -------------------------------------------------

   A neuron's spikes are bits. A map holds those of a layer: lane by lane, plane by plane, row by
   row, and for each position its channels, eight to a byte. A lane is a step of time; before the
   steps comes the lane of those who fire at every step, which say so once. Spikes that were pooled,
   and levels, are numbers: plane p holds their bit that counts 2**p. */

#if STEPS > 1 && !defined(UNSTEADY)
#define STEADY 1
#else
#define STEADY 0
#endif
#define LANES (STEPS + STEADY)

/* As many spikes as a register holds. */
#if UINTPTR_MAX > 0xFFFFFFFF || defined(__wasm__)
typedef uint64_t chunk;
#else
typedef uint32_t chunk;
#endif
#define CHUNK ((int)sizeof(chunk))

GENERAL chunk chunk_at(const uint8_t *x, int bytes)
{
    if (bytes <= 4)
        return word(x, bytes);
    return (chunk)((uint64_t)word(x + 4, bytes < CHUNK ? bytes - 4 : 4) << 32 | word(x, 4));
}

/* Zeros before the highest bit that is set. */
GENERAL int zeros_before(chunk bits)
{
#if defined(__x86_64__) || defined(__aarch64__) || defined(__wasm__)
    return __builtin_clzll(bits);
#elif defined(__ARM_FEATURE_CLZ)
    return __builtin_clz(bits);
#else
    int zeros = 0;
    for (int half = CHUNK * 4; half; half /= 2)
        if (!(bits >> (CHUNK * 8 - half))) {
            bits <<= half;
            zeros += half;
        }
    return zeros;
#endif
}

/* ---- Pixels: two that are not both zero, and the weights they meet --------------------------- */

typedef struct { uint32_t numbers; const uint32_t *weights; } meeting;
static meeting pixels[TWOS + 1];

/* The sums of a block of neurons stay in registers until all pixels are added. */
GENERAL void add_pixels(const meeting *end, int32_t *to, int words, int offset)
{
    int32_t held[8] = {0};
    ROLLED
    for (const meeting *next = pixels; next < end; next++)
        add_two(held, next->numbers, next->weights + offset, words);
    for (int i = 0; i < 2 * words; i++)
        to[i] = held[i];
}

/* Sums over a window of the image. Weights lie [a block of neurons][two pixels][words]. */
GENERAL void meet_pixels(const uint8_t *x, const uint32_t *weights, const window *w)
{
    int twos = (w->bytes + 1) / 2, words = w->block / 2, size = w->rows * twos * words;
    int at_once = w->outputs <= w->block;
    int32_t held[8] = {0};
    meeting *end = pixels;
    for (int row = 0; row < w->rows; row++)
        for (int i = 0; i < twos; i++, weights += words) {
            uint32_t both = two_apart(x + row * w->row + 2 * i, 2 * i + 1 < w->bytes ? 2 : 1);
            if (both && at_once)
                add_two(held, both, weights, words);
            else if (both) {
                end->numbers = both;
                end++->weights = weights;
            }
        }
    if (at_once)
        for (int i = 0; i < 2 * words; i++)
            sums.wide[i] = held[i];
    else
        for (int block = 0; block * w->block < w->outputs; block++)
            add_pixels(end, sums.wide + block * w->block, words, block * size);
}

/* ---- Spikes: their rows of weights are added ------------------------------------------------- */

static const uint32_t *arrived[ARRIVALS + PARTS]; /* of a lane: the weights that its spikes meet */

/* Up to sixteen sums of 16 bits stay in registers. Where there are instructions for it, two share
   one. In a word of four weights, the second is the third neuron's and the third the second's. */
#ifdef TWO_AT_ONCE
typedef int16x2_t held;
#define HELD(quads) (2 * (quads))
#define FEW 8 /* neurons whose sums leave registers for going through a window's spikes */
#else
typedef int16_t held;
#define HELD(quads) (4 * (quads))
#define FEW 16
#endif

/* Add a row of weights, four to a word. */
GENERAL void add_row(held *to, const uint32_t *weights, int quads)
{
#ifdef TWO_AT_ONCE
    for (int i = 0; i < quads; i++, to += 2) {
        to[0] = __sxtab16(to[0], (int8x4_t)weights[i]);
        to[1] = __sxtab16(to[1], (int8x4_t)turned(weights[i]));
        if (quads == 4)
            IN_ORDER;
    }
#else
    for (int i = 0; i < 4 * quads; i++)
        to[i] = (held)(to[i] + ((const int8_t *)weights)[i]);
#endif
}

GENERAL void twice(held *sum, int quads)
{
    for (int i = 0; i < HELD(quads); i++)
#ifdef TWO_AT_ONCE
        sum[i] = __sadd16(sum[i], sum[i]);
#else
        sum[i] = (held)(2 * sum[i]);
#endif
}

#define NEURON(i) ((i) % 4 == 1 ? (i) + 1 : (i) % 4 == 2 ? (i) - 1 : (i))

/* Write down sums on top of others, `from` of the same or another lane. */
GENERAL void put_down(const held *sum, int from, int to, int quads)
{
    UNROLLED
    for (int i = 0; i < HELD(quads); i++)
#ifdef TWO_AT_ONCE
        sums.pairs[to / 2 + i] =
            (uint32_t)(from < 0 ? sum[i] : __sadd16(sum[i], (int16x2_t)sums.pairs[from / 2 + i]));
#else
        sums.narrow[to + i] =
            (int16_t)(sum[NEURON(i)] + (from < 0 ? 0 : sums.narrow[from + i]));
#endif
}

/* The same in 32 bits, with 2**plane times the sums. */
GENERAL void put_down_wide(const held *sum, int from, int to, int quads, int plane)
{
    UNROLLED
    for (int i = 0; i < 4 * quads; i++) {
#ifdef TWO_AT_ONCE
        int32_t one = i % 2 ? sum[i / 2] >> 16 : (int16_t)sum[i / 2];
#else
        int32_t one = sum[NEURON(i)];
#endif
        sums.wide[to + i] = (from < 0 ? 0 : sums.wide[from + i]) + one * (1 << plane);
    }
}

#define PARTS_OF(w) ((w)->together ? (w)->rows * (w)->pieces / (w)->together : 1)

/* Go through a window's spikes in a lane, the highest plane first. Few sums are held meanwhile, and
   doubled from plane to plane; for more, the weights that the spikes meet are listed, a 0 behind
   each part. */
GENERAL void walk(const uint8_t *lane, const uint32_t *weights, const window *w, held *sum)
{
    const uint32_t **end = arrived;
    int quads = w->block / 4;
    ROLLED
    for (int plane = w->planes - 1; plane >= 0; plane--) {
        const uint32_t *first = weights; /* for the first bit of a piece */
        if (sum && plane < w->planes - 1)
            twice(sum, quads);
        for (int row = 0; row < w->rows; row++)
            for (int piece = 0; piece < w->pieces; piece++, first += 8 * w->bytes * quads) {
                const uint8_t *from =
                    lane + plane * w->plane + row * w->row + piece * w->bytes;
                if (w->together && row + piece && (row * w->pieces + piece) % w->together == 0)
                    *end++ = 0;
                for (int i = 0; i < w->bytes; i += CHUNK) {
                    chunk bits = chunk_at(from + i, w->bytes - i < CHUNK ? w->bytes - i : CHUNK);
                    ROLLED
                    while (bits) {
                        int before = zeros_before(bits);
                        const uint32_t *met = first + (8 * (i + CHUNK) - 1 - before) * quads;
                        if (sum)
                            add_row(sum, met, quads);
                        else
                            *end++ = met;
                        bits ^= (chunk)1 << (8 * CHUNK - 1) >> before;
                    }
                }
            }
        if (!sum)
            *end++ = 0;
    }
}

/* A listed lane's sums for a block of neurons, on top of what is steady: doubled from plane to
   plane or, where 16 bits may not hold them, added in 32 bits part by part. */
GENERAL void add_listed(int steady, int to, int offset, const window *w)
{
    int parts = PARTS_OF(w), quads = w->block / 4;
    const uint32_t *const *next = arrived, *row;
    held sum[HELD(4)] = {0};
    ROLLED
    for (int part = 0; part < w->planes * parts; part++) {
        if (part && !w->together)
            twice(sum, quads);
        ROLLED
        while ((row = *next++))
            add_row(sum, row + offset, quads);
        if (!w->together)
            continue;
        put_down_wide(sum, part ? to : steady, to, quads, w->planes - 1 - part / parts);
        for (int i = 0; i < HELD(quads); i++)
            sum[i] = 0;
    }
    if (!w->together)
        put_down(sum, steady, to, quads);
}

/* Sums over a window, lane by lane. Weights lie [a block of neurons][bit of the window][words]. */
GENERAL void meet_spikes(const uint8_t *x, const uint32_t *weights, const window *w)
{
    int size = w->rows * w->pieces * w->bytes * 2 * w->block;
    ROLLED
    for (int lane = 0; lane < LANES; lane++) {
        const uint8_t *from = x + lane * w->planes * w->plane;
        int to = lane * PADDED(w), on_top = STEADY && lane;
        if (w->outputs <= w->block && w->block <= FEW && w->narrow) {
            held sum[HELD(FEW / 4)] = {0};
            walk(from, weights, w, sum);
            put_down(sum, on_top ? 0 : -1, to, w->block / 4);
            continue;
        }
        walk(from, weights, w, 0);
        ROLLED
        for (int block = 0, first = 0; first < w->outputs; block++, first += w->block)
            add_listed(on_top ? first : -1, to + first, block * size, w);
    }
}

/* ---- Calm: what neurons say where nothing arrives is known once some of them have said it ---- */

static uint32_t seen[(ROW + 3) / 4]; /* a byte for each of a map's row: whatever is in its column */

/* Lay a map's rows that windows side by side see, of all planes, over one another. */
GENERAL void overlay(const uint8_t *x, int planes, const window *w)
{
    ROLLED
    for (int i = 0; i < w->row; i += 4) {
        uint32_t all = 0;
        for (int plane = 0; plane < planes; plane++)
            for (int row = 0; row < w->rows; row++)
                all |= word(x + plane * w->plane + row * w->row + i, 4);
        seen[i / 4] = all;
    }
}

/* Whether nothing arrives in the window that begins so many bytes into the row. */
GENERAL int is_calm(int first, const window *w)
{
#ifdef RESTLESS
    (void)first, (void)w;
    return 0;
#else
    const uint8_t *from = (const uint8_t *)seen + first;
    int bytes = w->pieces * w->bytes;
    uint32_t any = 0;
    for (int i = 0; i < bytes; i += 4)
        any |= word(from + i, bytes - i < 4 ? bytes - i : 4);
    return !any;
#endif
}

/* What neurons have said once is said again. */
GENERAL void repeat(const uint8_t *said, uint8_t *to, int bytes, const map *m)
{
    for (int plane = 0; plane < LANES * m->planes; plane++)
        for (int i = 0; i < bytes; i++)
            to[plane * m->plane + i] = said[plane * m->plane + i];
}
