/* ---- Neurons --------------------------------------------------------------------------------- */

/* What arrives at a neuron: at a step, or where it sees one sum alone. */
GENERAL int32_t arriving(const window *w, int step, int o)
{
    int at = (step + STEADY) * PADDED(w) + o;
    return w->narrow ? sums.narrow[at] : sums.wide[at];
}

#ifdef WHOLE
typedef int32_t current; /* in what one is worth in the sums */
#else
typedef float current;
#endif

#ifdef BESIDE
static current beside[BESIDE]; /* by the other way of a residual block: [step][neuron] */
#endif

#ifndef WHOLE

/* Eight bits: what a sum is as a current, as FBGEMM's kernels round. */
typedef struct {
    int32_t factor, up, down; /* in whole numbers; no factor: in fractions */
    float unit, step, scale;  /* 1 / (input x weight scale), sums to levels, levels to currents */
    int32_t zero;             /* the level of no current */
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

GENERAL int32_t in_a_byte(int32_t number)
{
#ifdef TWO_AT_ONCE
    return (int32_t)__usat(number, 8);
#else
    return number < 0 ? 0 : number > 255 ? 255 : number;
#endif
}

/* The high word of a product. */
GENERAL int32_t high(int32_t a, int32_t b)
{
#ifdef TWO_AT_ONCE
    int32_t word; /* a compiler that knows b takes three instructions */
    __asm__("smmul %0, %1, %2" : "=r"(word) : "r"(a), "r"(b));
    return word;
#else
    return (int32_t)((int64_t)a * b >> 32);
#endif
}

/* The level from 0 to 255 that a sum becomes at neuron o. What it computes from are whole offsets,
   with which every possible sum was found to become the same, or else biases. */
GENERAL int32_t level(int o, int32_t sum, const void *from, const rounding *r)
{
    if (r->factor) {
        int32_t shifted = ((const int32_t *)from)[o] + sum * (1 << r->up);
        return in_a_byte(high(shifted, r->factor) >> r->down);
    }
    float bias = ((const float *)from)[o];
    return in_a_byte(nearest(fused(bias, r->unit, (float)sum) * r->step) + r->zero);
}

GENERAL current current_of(int o, int32_t sum, const void *from, const rounding *r)
{
    return (float)(level(o, sum, from, r) - r->zero) * r->scale;
}

/* Where a neuron sees one sum alone, its answer is a table over the 256 levels. */
GENERAL void look_up(const void *from, const rounding *r, const answer_bits *table, uint8_t *to,
                     const window *w, const map *m)
{
    EACH_NEURON(w, m, to, o, FROM_TABLE(table[level(o, arriving(w, -STEADY, o), from, r)]))
}

#if STEPS > 1

typedef struct { float threshold, beta, start; } neuron;

/* Leaky integrate-and-fire: U = beta U + I - threshold S of the step before, S = U > threshold. */
GENERAL uint32_t spikes_of(int o, const void *from, const rounding *r, const neuron *n,
                           const current *besides, const window *w)
{
    float potential = n->start;
    uint32_t spikes = 0;
    int fired = 0;
    for (int step = 0; step < STEPS; step++) {
        current arrives = current_of(o, arriving(w, step, o), from, r);
        if (besides)
            arrives += besides[step * w->outputs + o];
        potential = n->beta * potential + arrives;
        if (fired)
            potential -= n->threshold;
        fired = potential > n->threshold;
        spikes |= fired ? ANSWER(step) : 0;
    }
    return spikes;
}

/* The same without leak: potentials are sums of levels, and bounds[t][S] the last of them that does
   not bring spike number S at step t. */
GENERAL uint32_t spikes_beyond(int o, const void *from, const rounding *r, const int32_t *bounds,
                               const window *w)
{
    int32_t potential = 0;
    uint32_t spikes = 0;
    for (int step = 0; step < STEPS; step++) {
        potential += level(o, arriving(w, step, o), from, r);
        if (potential > bounds[step * STEPS]) {
            spikes |= ANSWER(step);
            bounds++;
        }
    }
    return spikes;
}

GENERAL void fire(const void *from, const rounding *r, const neuron *n, const current *besides,
                  uint8_t *to, const window *w, const map *m)
{
    EACH_NEURON(w, m, to, o, spikes_of(o, from, r, n, besides, w))
}

GENERAL void count_and_fire(const void *from, const rounding *r, const int32_t *bounds, uint8_t *to,
                            const window *w, const map *m)
{
    EACH_NEURON(w, m, to, o, spikes_beyond(o, from, r, bounds, w))
}

#endif

#elif STEPS > 1

/* Whole numbers: potentials are counted in what one is worth in the sums. */

typedef struct { int32_t threshold, start; } neuron;

GENERAL uint32_t spikes_of(int how, int o, const int32_t *bias, const neuron *n,
                           const current *besides, const window *w)
{
    int32_t potential = n->start;
    uint32_t spikes = 0;
    for (int step = 0; step < STEPS; step++) {
        potential += arriving(w, how == PIXELS ? -STEADY : step, o) + bias[o];
        if (besides)
            potential += besides[step * w->outputs + o];
        if (potential > n->threshold) {
            spikes |= ANSWER(step);
            potential -= n->threshold; /* counts from the next step on */
        }
    }
    return spikes;
}

GENERAL void fire(int how, const int32_t *bias, const neuron *n, const current *besides,
                  uint8_t *to, const window *w, const map *m)
{
    EACH_NEURON(w, m, to, o, spikes_of(how, o, bias, n, besides, w))
}

#endif

#if STEPS == 1

/* The level of a current: how many of a few bounds it reaches. */
GENERAL uint32_t reached(current arrives, const current *bounds, int levels)
{
    uint32_t count = 0;
    while (levels-- && arrives >= *bounds++)
        count++;
    return count;
}

#ifdef WHOLE
#define CURRENT(o) (arriving(w, 0, o) + bias[o])
GENERAL void fire(const int32_t *bias, const current *bounds, int levels, const current *besides,
                  uint8_t *to, const window *w, const map *m)
#else
#define CURRENT(o) current_of(o, arriving(w, 0, o), from, r)
GENERAL void fire(const void *from, const rounding *r, const current *bounds, int levels,
                  const current *besides, uint8_t *to, const window *w, const map *m)
#endif
{
    EACH_NEURON(w, m, to, o,
                FROM_TABLE(reached(CURRENT(o) + (besides ? besides[o] : 0), bounds, levels)))
}

#endif
