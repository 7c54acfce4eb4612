/* ---- Maps ------------------------------------------------------------------------------------ */

/* The bits of up to eight neurons, [bit] in the bytes of words, go to their places. */
GENERAL void tell(const uint32_t *said, uint8_t *to, const map *m)
{
#if STEPS > 1
    uint32_t always = STEADY ? 0xFF : 0;
    if (STEADY) {
        for (int step = 0; step < STEPS; step++)
            always &= said[step / 4] >> step % 4 * 8;
        *to = (uint8_t)always;
    }
    for (int step = 0; step < STEPS; step++)
        to[(step + STEADY) * m->plane] = (uint8_t)(said[step / 4] >> step % 4 * 8 & ~always);
#else
    for (int plane = 0; plane < m->planes; plane++)
        to[plane * m->plane] = (uint8_t)(said[plane / 4] >> plane % 4 * 8);
#endif
}

/* What a neuron says at a step: a spike, spikes pooled, or a level. */
GENERAL uint32_t said_at(const uint8_t *x, const map *m, int step, int channel)
{
    uint32_t number = 0;
    x += channel / 8;
    for (int plane = 0; plane < m->planes; plane++) {
        const uint8_t *at = x + plane * m->plane;
        uint32_t always = STEADY ? at[0] >> channel % 8 & 1u : 0;
        uint32_t now = at[(step + STEADY) * m->planes * m->plane] >> channel % 8 & 1u;
        number += (always + now) << plane;
    }
    return number;
}

/* Four bits, each to a byte of its own. */
GENERAL uint32_t bit_by_byte(uint32_t bits) { return (bits & 15) * 0x00204081 & 0x01010101; }

/* Neurons tell their answers, whose bits are steps, or those of a level. If these are few, each has
   a byte from the start. */
#define ANSWER(step) (1u << (WORDS == 1 ? 8 * (step) : (step)))
#define FROM_TABLE(bits) (WORDS == 1 ? bit_by_byte(bits) : (bits))
#define EACH_NEURON(w, m, to, o, answer)                                                           \
    for (int first = 0; first < (w)->outputs; first += (m)->field, (to)++) {                       \
        int last = first + (m)->field < (w)->outputs ? first + (m)->field : (w)->outputs;          \
        uint32_t said[WORDS] = {0};                                                                \
        for (int o = last - 1; o >= first; o--) {                                                  \
            uint32_t bits = answer;                                                                \
            for (int i = 0; i < WORDS; i++)                                                        \
                said[i] = said[i] << 1 | (WORDS == 1 ? bits : bit_by_byte(bits >> 4 * i));         \
        }                                                                                          \
        tell(said, to, m);                                                                         \
    }

/* Eight numbers, bit by bit, become what the layer behind takes them for. */
GENERAL void round_each(uint32_t *bits, const uint8_t *rounded)
{
    uint32_t told[8] = {0};
    for (int i = 0; i < 8; i++) {
        int number = 0;
        for (int plane = 0; plane < POOLED; plane++)
            number |= (int)(bits[plane] >> i & 1) << plane;
        for (int plane = 0; plane < 8; plane++)
            told[plane] |= (rounded[number] >> plane & 1u) << i;
    }
    for (int plane = 0; plane < 8; plane++)
        bits[plane] = told[plane];
}

/* Sums over windows side by side: of eight channels at once, bit by bit with its carry. */
GENERAL void pool(const uint8_t *x, const map *from, uint8_t *into, const map *to, int height,
                  int width, int bytes, int tall, int wide, const uint8_t *rounded)
{
    int planes = rounded ? POOLED : to->planes;
    for (int lane = 0; lane < LANES; lane++)
        for (int y = 0; y < height; y++) {
            const uint8_t *at = x + lane * from->planes * from->plane + y * tall * from->row;
            uint8_t *place = into + lane * to->planes * to->plane + y * to->row;
            ROLLED
            for (int column = 0; column < width; column++, at += (wide - 1) * bytes)
                for (int i = 0; i < bytes; i++, at++, place++) {
                    uint32_t sum[POOLED] = {0};
                    for (int corner = 0; corner < tall * wide; corner++)
                        for (int plane = 0; plane < from->planes; plane++) {
                            uint32_t carry = at[plane * from->plane + corner / wide * from->row +
                                                corner % wide * bytes];
                            for (int bit = plane; bit < planes; bit++) {
                                uint32_t both = sum[bit] & carry;
                                sum[bit] ^= carry;
                                carry = both;
                            }
                        }
                    if (rounded)
                        round_each(sum, rounded);
                    for (int plane = 0; plane < to->planes; plane++)
                        place[plane * to->plane] = (uint8_t)sum[plane];
                }
        }
}
