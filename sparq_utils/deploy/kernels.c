/* How the layers work. What stands above was made for one network; this part is the same for all.

   Layers follow one another, and in each of them all steps of time. Features lie channels last.
   The steps of a neuron's spikes, or of spikes pooled, are the bytes of a word: a comparison with
   zero asks about four steps at once, and an addition pools them. */

#if defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>
#endif

#if defined(__GNUC__)
#define LAYER static __attribute__((noinline))                      /* a function for each layer */
#define GENERAL static inline __attribute__((always_inline, unused)) /* made to measure in each */
#else
#define LAYER static
#define GENERAL static inline
#endif

#if STEPS == 1
typedef uint8_t feature;
#define WORDS 1
#else
typedef uint32_t feature;
#define WORDS ((STEPS + 3) / 4)
#endif
#define PAIRS (2 * WORDS) /* words of sums for a neuron, when two sums of 16 bits share a word */
#define ROOM (4 * WORDS)  /* steps of sums for a neuron, when each has a word of its own */

enum { BYTES, PACKED, WIDE }; /* what arrives, and what it is summed in */

typedef struct {
    int16_t height, width, channels;            /* what arrives */
    int16_t out_height, out_width, outputs;     /* what leaves; outputs with what fills up a word */
    int16_t tall, wide, top, left, down, right; /* the kernel, its padding, its stride */
} shape;

/* ---- Synapses: whatever arrives adds its weights to the sums it reaches ---------------------- */

#ifdef WATCHED
uint32_t additions, multiplications;
#define COUNT(counter, number) ((counter) += (uint32_t)(number))
#else
#define COUNT(counter, number) ((void)0)
#endif

/* Two weights of a word of four, as one number: the first + 65536 times the second. */
GENERAL uint32_t two_of(uint32_t four)
{
#if defined(__ARM_FEATURE_SIMD32)
    return (uint32_t)__sxtb16((int8x4_t)four);
#else
    return (uint32_t)(uint16_t)(int8_t)four | (uint32_t)(int8_t)(four >> 16) << 16;
#endif
}

/* A pixel, or a level: value times a row of weights. */
GENERAL void add_bytes(int32_t *sums, const int8_t *weights, int length, int value)
{
    COUNT(multiplications, length);
    for (int i = 0; i < length; i++)
        sums[i] += value * weights[i];
}

/* All steps of a neuron's spikes times a row of weights. A word holds the sums of two steps, the
   one 65536 times the other: one multiplication adds to both, and nothing is lost as long as both
   fit 16 bits, which was made sure of for these weights. With a single step, a word holds the sums
   of two neurons instead. */
#if STEPS == 1
GENERAL void add_packed(uint32_t *sums, const uint32_t *fours, int length, const feature *x)
{
    COUNT(multiplications, length);
    for (int i = 0; i < length / 4; i++) {
        sums[2 * i] += *x * two_of(fours[i]);
        sums[2 * i + 1] += *x * two_of(fours[i] >> 8 | fours[i] << 24);
    }
}
#else
GENERAL void add_packed(uint32_t *sums, const int8_t *weights, int length, const feature *x)
{
    uint32_t arriving[PAIRS];
    for (int word = 0; word < WORDS; word++) {
        arriving[2 * word] = x[word] & 0x00FF00FF;          /* steps 0 and 2 */
        arriving[2 * word + 1] = x[word] >> 8 & 0x00FF00FF; /* steps 1 and 3 */
        COUNT(additions, length * (int)(x[word] * 0x01010101u >> 24));
    }
    for (int i = 0; i < length; i++)
        for (int pair = 0; pair < PAIRS; pair++)
            sums[i * PAIRS + pair] += (uint32_t)(int32_t)weights[i] * arriving[pair];
}

/* The same where sums may not fit 16 bits. */
GENERAL void add_wide(int32_t *sums, const int8_t *weights, int length, const feature *x)
{
    for (int step = 0; step < ROOM; step++) {
        int32_t count = x[step / 4] >> step % 4 * 8 & 255;
        COUNT(additions, length * count);
        if (count)
            for (int i = 0; i < length; i++)
                sums[i * ROOM + step] += count * weights[i];
    }
}
#endif

/* A row of weights, from number `from`, to the sums of neurons from number `to`. */
GENERAL void add_row(int how, int32_t *sums, int to, const void *weights, int from, int length,
                     const void *x)
{
    if (how == BYTES)
        add_bytes(sums + to, (const int8_t *)weights + from, length, *(const uint8_t *)x);
#if STEPS == 1
    else
        add_packed((uint32_t *)sums + to / 2, (const uint32_t *)weights + from / 4, length, x);
#else
    else if (how == PACKED)
        add_packed((uint32_t *)sums + to * PAIRS, (const int8_t *)weights + from, length, x);
    else
        add_wide(sums + to * ROOM, (const int8_t *)weights + from, length, x);
#endif
}

GENERAL int arrives(int how, const void *x)
{
#ifdef DENSE
    (void)how, (void)x;
    return 1; /* every weight is met, whatever arrives */
#else
    if (how == BYTES || STEPS == 1)
        return *(const uint8_t *)x != 0;
    uint32_t any = 0;
    for (int word = 0; word < WORDS; word++)
        any |= (uint32_t)((const feature *)x)[word];
    return any != 0;
#endif
}

/* Taps of a kernel that reach an output from place `at` of the padded input: first, last, the
   output that the last one reaches. */
GENERAL void reach(int at, int taps, int stride, int outputs, int *first, int *last, int *to)
{
    int low = at - (outputs - 1) * stride, high = at < taps ? at : taps - 1;
    if (stride > 1)
        high -= (stride - (at - high) % stride) % stride; /* only every stride-th tap reaches one */
    *first = low > 0 ? low : 0;
    *last = high;
    *to = stride > 1 ? (at - high) / stride : at - high;
}

/* Weights [channel][row of the kernel][column, last first][output]: what arrives at a place adds
   rows of them to sums that lie side by side. */
GENERAL void convolve(int how, const void *input, const void *weights, int32_t *sums, const shape *s)
{
    const uint8_t *x = input;
    int size = how == BYTES ? 1 : WORDS * (int)sizeof(feature);
    for (int y = 0; y < s->height; y++) {
        int first, last, to;
        reach(y + s->top, s->tall, s->down, s->out_height, &first, &last, &to);
        for (int column = 0; column < s->width; column++) {
            int left, right, out;
            reach(column + s->left, s->wide, s->right, s->out_width, &left, &right, &out);
            int reached = right < left ? 0 : (right - left) / s->right + 1;
            int length = s->right == 1 ? reached * s->outputs : s->outputs;
            for (int c = 0; c < s->channels; c++, x += size) {
                if (!arrives(how, x))
                    continue;
                for (int ky = last, oy = to; ky >= first; ky -= s->down, oy++) {
                    int tap = (c * s->tall + ky) * s->wide + s->wide - 1 - right;
                    int place = oy * s->out_width + out;
                    for (int run = 0; run < reached; run += length / s->outputs)
                        add_row(how, sums, (place + run) * s->outputs, weights,
                                (tap + run * s->right) * s->outputs, length, x);
                }
            }
        }
    }
}

GENERAL void clear(int32_t *sums, int words)
{
    for (int i = 0; i < words; i++)
        sums[i] = 0;
}

/* Weights [input][output]: what arrives adds its row. Pixels come in fours, so that one walk over
   the sums serves four. */
GENERAL void connect(int how, const void *input, const void *weights, int32_t *sums, const shape *s)
{
    const uint8_t *x = input;
    int n = s->outputs, values[4], waiting = 0;
    const int8_t *rows[4];
    for (int i = 0; i < s->channels; i++, x += how == BYTES ? 1 : WORDS * sizeof(feature)) {
        if (!arrives(how, x))
            continue;
        if (how != BYTES) {
            add_row(how, sums, 0, weights, i * n, n, x);
            continue;
        }
        rows[waiting] = (const int8_t *)weights + i * n;
        values[waiting++] = *x;
        if (waiting < 4)
            continue;
        COUNT(multiplications, 4 * n);
        for (int o = 0; o < n; o++)
            sums[o] += values[0] * rows[0][o] + values[1] * rows[1][o] + values[2] * rows[2][o] +
                       values[3] * rows[3][o];
        waiting = 0;
    }
    while (waiting-- > 0)
        add_bytes(sums, rows[waiting], n, values[waiting]);
}

/* The sums of a neuron, step by step, out of the words that two of them share. */
GENERAL void unpack(int how, const int32_t *sums, int neuron, int32_t *steps)
{
#if STEPS == 1
    uint32_t two = (uint32_t)sums[how == PACKED ? neuron / 2 : neuron];
    int32_t low = (int16_t)two;
    steps[0] = how != PACKED ? (int32_t)two
               : neuron % 2 == 0 ? low : (int32_t)(two - (uint32_t)low) >> 16;
#else
    if (how == BYTES) /* the same at every step */
        for (int step = 0; step < STEPS; step++)
            steps[step] = sums[neuron];
    if (how == PACKED)
        for (int pair = 0; pair < PAIRS; pair++) {
            uint32_t two = (uint32_t)sums[neuron * PAIRS + pair];
            int32_t low = (int16_t)two;
            steps[pair / 2 * 4 + pair % 2] = low;
            steps[pair / 2 * 4 + pair % 2 + 2] = (int32_t)(two - (uint32_t)low) >> 16;
        }
    if (how == WIDE)
        for (int step = 0; step < STEPS; step++)
            steps[step] = sums[neuron * ROOM + step];
#endif
}

typedef struct { int32_t positions, outputs, padded; } layout; /* of sums: [positions][padded] */

/* Neurons take their turn from the first to the last where they leave less than the sums were, and
   from the last to the first where they leave more, so that no sum is overwritten unread. */
#define BACKWARDS(how) ((how) == BYTES && STEPS > 1)
#define FOR_EACH_NEURON(how, l, p, o)                                                              \
    for (int p = BACKWARDS(how) ? l->positions - 1 : 0; BACKWARDS(how) ? p >= 0 : p < l->positions; \
         p += BACKWARDS(how) ? -1 : 1)                                                             \
        for (int o = BACKWARDS(how) ? l->outputs - 1 : 0; BACKWARDS(how) ? o >= 0 : o < l->outputs; \
             o += BACKWARDS(how) ? -1 : 1)

#ifndef WHOLE

/* ---- Eight bits: what a sum is as a current, as FBGEMM's kernels round ------------------------ */

typedef struct {
    float unit, step, scale; /* 1 / (input x weight scale), sums to levels, levels to currents */
    int32_t zero;            /* the level of no current */
} rounding;

/* a * b + c, rounded once */
GENERAL float fused(float a, float b, float c)
{
#if defined(__ARM_FEATURE_FMA)
    return __builtin_fmaf(a, b, c);
#else
    return (float)((double)a * b + c);
#endif
}

/* The nearest whole number, halves to the even one: beyond 2**23 a float has no fraction left. */
GENERAL int32_t nearest(float x)
{
    union { float real; int32_t bits; } sum;
    sum.real = x + 12582912.0f;
    return sum.bits - 0x4B400000;
}

/* The level from 0 to 255 that a sum becomes. */
GENERAL int level(int32_t sum, float bias, const rounding *r)
{
    int q = nearest(fused(bias, r->unit, (float)sum) * r->step) + r->zero;
    return q < 0 ? 0 : q > 255 ? 255 : q;
}

GENERAL float current(int32_t sum, float bias, const rounding *r)
{
    return (float)(level(sum, bias, r) - r->zero) * r->scale;
}

/* ---- Neurons: what they say takes the place of the sums --------------------------------------- */

/* Where a neuron sees one sum alone, what it does is a table over the 256 levels: its spikes under
   a current that lasts, or, with a single step, one of a few levels. */
GENERAL void look_up(int how, int32_t *sums, const float *bias, const rounding *r,
                     const feature *table, const layout *l)
{
    FOR_EACH_NEURON(how, l, p, o)
    {
        int32_t steps[ROOM];
        unpack(how, sums, p * l->padded + o, steps);
        const feature *entry = table + level(steps[0], bias[o], r) * WORDS;
        feature *to = (feature *)sums + (p * l->outputs + o) * WORDS;
        for (int word = 0; word < WORDS; word++)
            to[word] = entry[word];
    }
}

#if STEPS > 1
typedef struct { float threshold, beta, start; } neuron;

/* Leaky integrate-and-fire: U = beta U + I - threshold S of the step before, S = U > threshold. */
GENERAL void fire(int how, int32_t *sums, const float *bias, const rounding *r, const neuron *n,
                  const layout *l)
{
    FOR_EACH_NEURON(how, l, p, o)
    {
        int32_t steps[ROOM];
        feature spikes[WORDS] = {0}, *to = (feature *)sums + (p * l->outputs + o) * WORDS;
        float potential = n->start;
        int fired = 0;
        unpack(how, sums, p * l->outputs + o, steps);
        for (int step = 0; step < STEPS; step++) {
            potential = n->beta * potential + current(steps[step], bias[o], r);
            if (fired)
                potential -= n->threshold;
            fired = potential > n->threshold;
            spikes[step / 4] |= (feature)fired << step % 4 * 8;
        }
        for (int word = 0; word < WORDS; word++)
            to[word] = spikes[word];
    }
}
#endif

/* ---- Exits: sure enough? --------------------------------------------------------------------- */

/* e to the x, for x <= 0: 2 to the k, times a polynomial for what is left. */
GENERAL float exponential(float x)
{
    if (x < -80)
        return 0;
    int32_t k = nearest(x * 1.44269504f);
    float rest = x - (float)k * 0.693359375f + (float)k * 2.12194440e-4f, term = 1, sum = 1;
    for (int i = 1; i < 8; i++)
        sum += term *= rest / (float)i;
    union { int32_t bits; float real; } power = {(k + 127) << 23};
    return sum * power.real;
}

/* The exit's answer; 1 if the image leaves here. */
GENERAL int conclude(int how, const int32_t *sums, const float *bias, const rounding *r, int exit,
                     float threshold, answer_t *answer)
{
    int best = 0;
    float total = 0;
    for (int o = 0; o < CLASSES; o++) {
        int32_t steps[ROOM];
        float logit = 0;
        unpack(how, sums, o, steps);
        for (int step = 0; step < STEPS; step++)
            logit += current(steps[step], bias[o], r);
        answer->logits[o] = logit / STEPS;
    }
    const float *said = answer->logits;
#ifdef COMPANY
    static float all[EXITS][CLASSES], together[CLASSES];
    said = together;
    for (int o = 0; o < CLASSES; o++) {
        all[exit][o] = answer->logits[o];
        together[o] = 0;
        for (int earlier = 0; earlier <= exit; earlier++)
            together[o] += company[exit][earlier] * all[earlier][o];
    }
#endif
    for (int o = 1; o < CLASSES; o++)
        if (said[o] > said[best])
            best = o;
    for (int o = 0; o < CLASSES; o++)
        total += exponential(said[o] - said[best]);
    answer->exit = exit;
    answer->prediction = best;
    answer->confidence = 1 / total;
    return answer->confidence >= threshold;
}

#else

/* ---- Whole numbers: potentials are counted in what one is worth in the sums ------------------- */

#if STEPS > 1
typedef struct { int32_t threshold, start; } neuron;

GENERAL void fire(int how, int32_t *sums, const int32_t *bias, const neuron *n, const layout *l)
{
    FOR_EACH_NEURON(how, l, p, o)
    {
        int32_t steps[ROOM], potential = n->start;
        feature spikes[WORDS] = {0}, *to = (feature *)sums + (p * l->outputs + o) * WORDS;
        unpack(how, sums, p * l->outputs + o, steps);
        for (int step = 0; step < STEPS; step++) {
            potential += steps[step] + bias[o];
            if (potential > n->threshold) {
                spikes[step / 4] |= (feature)1 << step % 4 * 8;
                potential -= n->threshold; /* counts from the next step on */
            }
        }
        for (int word = 0; word < WORDS; word++)
            to[word] = spikes[word];
    }
}
#else
/* The level of a sum: how many of a few bounds it reaches. */
GENERAL void fire(int how, int32_t *sums, const int32_t *bias, const int32_t *bounds, int levels,
                  const layout *l)
{
    FOR_EACH_NEURON(how, l, p, o)
    {
        int32_t sum, reached = 0;
        unpack(how, sums, p * l->padded + o, &sum);
        while (reached < levels && sum + bias[o] >= bounds[reached])
            reached++;
        ((feature *)sums)[p * l->outputs + o] = (feature)reached;
    }
}
#endif

/* 65536 * 65536 / total, less one at most, for a total from 65536 on: small cores do not divide. */
GENERAL uint32_t inverse(uint32_t total)
{
    uint32_t rest = 0xFFFFFFFFu, quotient = 0;
    for (int bit = 15; bit >= 0; bit--)
        if (rest >> bit >= total) {
            rest -= total << bit;
            quotient |= 1u << bit;
        }
    return quotient;
}

/* The exit's answer; 1 if the image leaves here. `decay[i]` is 65536 e to the -2**i logit units. */
GENERAL int conclude(int how, const int32_t *sums, const int32_t *bias, const uint16_t *decay,
                     int exit, uint32_t threshold, answer_t *answer)
{
    int best = 0;
    uint32_t total = 0;
    for (int o = 0; o < CLASSES; o++) {
        int32_t steps[ROOM], logit = STEPS * bias[o];
        unpack(how, sums, o, steps);
        for (int step = 0; step < STEPS; step++)
            logit += steps[step];
        answer->logits[o] = logit;
        if (logit > answer->logits[best])
            best = o;
    }
    for (int o = 0; o < CLASSES; o++) {
        uint32_t behind = (uint32_t)(answer->logits[best] - answer->logits[o]), power = 65536;
        for (int i = 0; behind; i++, behind >>= 1)
            if (behind & 1)
                power = i < DECAYS ? power * decay[i] >> 16 : 0;
        total += power;
    }
    answer->exit = exit;
    answer->prediction = best;
    answer->confidence = inverse(total);
    return answer->confidence >= threshold;
}

#endif

/* Sums over windows side by side, maybe in place. */
GENERAL void pool(const int32_t *from, int32_t *into, int height, int width, int channels, int tall,
                  int wide)
{
    const feature *x = (const feature *)from;
    feature *to = (feature *)into;
    for (int y = 0; y + tall <= height; y += tall)
        for (int column = 0; column + wide <= width; column += wide)
            for (int c = 0; c < channels * WORDS; c++) {
                feature sum = 0;
                for (int dy = 0; dy < tall; dy++)
                    for (int dx = 0; dx < wide; dx++)
                        sum += x[((y + dy) * width + column + dx) * channels * WORDS + c];
                *to++ = sum;
            }
}
