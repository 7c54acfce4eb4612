/* ---- Numbers: every weight is met, whatever arrives ---------------------------------------------

   A map holds a byte for each neuron and step, how many spikes or which level: step by step, row by
   row, position by position, channel by channel. */

#define STEADY 0
#define LANES STEPS

static uint32_t twos[(TWOS) * STEPS]; /* of a window, step by step: numbers as half words */

/* A block of neurons' sums of all steps stay in registers until the whole window is added. */
GENERAL void add_twos(const uint32_t *end, int steps, const uint32_t *weights, int32_t *to,
                      const window *w)
{
    int32_t held[STEPS > 4 ? 2 * STEPS : 8] = {0};
    ROLLED
    for (const uint32_t *next = twos; next != end; next += steps, weights += w->block / 2)
        for (int step = 0; step < steps; step++)
            add_two(held + step * w->block, next[step], weights, w->block / 2);
    for (int i = 0; i < steps * w->block; i++)
        to[i / w->block * PADDED(w) + i % w->block] = held[i];
}

/* Sums over a window, step by step. Weights lie [a block of neurons][two numbers][words]. */
GENERAL void meet_numbers(const uint8_t *x, int steps, const uint32_t *weights, const window *w)
{
    int size = w->rows * ((w->bytes + 1) / 2) * w->block / 2;
    uint32_t *end = twos;
    ROLLED
    for (int row = 0; row < w->rows; row++)
        for (int i = 0; i < w->bytes; i += 2)
            for (int step = 0; step < steps; step++)
                *end++ = two_apart(x + step * w->plane + row * w->row + i,
                                   i + 1 < w->bytes ? 2 : 1);
    ROLLED
    for (int o = 0; o < w->outputs; o += w->block, weights += size)
        add_twos(end, steps, weights, sums.wide + o, w);
}

GENERAL void meet_pixels(const uint8_t *x, const uint32_t *weights, const window *w)
{
    meet_numbers(x, 1, weights, w);
}

GENERAL void meet_spikes(const uint8_t *x, const uint32_t *weights, const window *w)
{
    meet_numbers(x, STEPS, weights, w);
}

/* Nothing is calm here. */
GENERAL void overlay(const uint8_t *x, int planes, const window *w) { (void)x, (void)planes, (void)w; }
GENERAL int is_calm(int first, const window *w) { return (void)first, (void)w, 0; }
GENERAL void repeat(const uint8_t *said, uint8_t *to, int bytes, const map *m)
{
    (void)said, (void)to, (void)bytes, (void)m;
}

/* Neurons tell their answers, whose bits are steps, or those of a level. */
#define ANSWER(step) (1u << (step))
#define FROM_TABLE(bits) (bits)
#define EACH_NEURON(w, m, to, o, answer)                                                           \
    for (int o = 0; o < (w)->outputs; o++) {                                                       \
        uint32_t bits = answer;                                                                    \
        for (int step = 0; step < STEPS; step++)                                                   \
            (to)[step * (m)->plane + o] = (uint8_t)(STEPS == 1 ? bits : bits >> step & 1);         \
    }

/* What a neuron says at a step. */
GENERAL uint32_t said_at(const uint8_t *x, const map *m, int step, int channel)
{
    return x[step * m->plane + channel];
}

/* Sums over windows side by side. */
GENERAL void pool(const uint8_t *x, const map *from, uint8_t *into, const map *to, int height,
                  int width, int bytes, int tall, int wide, const uint8_t *rounded)
{
    for (int step = 0; step < STEPS; step++)
        for (int y = 0; y < height; y++) {
            const uint8_t *at = x + step * from->plane + y * tall * from->row;
            uint8_t *place = into + step * to->plane + y * to->row;
            ROLLED
            for (int column = 0; column < width; column++, at += wide * bytes)
                for (int i = 0; i < bytes; i++) {
                    uint32_t sum = 0;
                    for (int corner = 0; corner < tall * wide; corner++)
                        sum += at[corner / wide * from->row + corner % wide * bytes + i];
                    *place++ = rounded ? rounded[sum] : (uint8_t)sum;
                }
        }
}
