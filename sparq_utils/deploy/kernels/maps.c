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

/* Sums over windows side by side: of eight channels at once, bit by bit with its carry. */
GENERAL void pool(const uint8_t *x, const map *from, uint8_t *into, const map *to, int height,
                  int width, int bytes, int tall, int wide)
{
    for (int lane = 0; lane < LANES; lane++)
        for (int y = 0; y < height; y++) {
            const uint8_t *at = x + lane * from->planes * from->plane + y * tall * from->row;
            uint8_t *place = into + lane * to->planes * to->plane + y * to->row;
            ROLLED
            for (int column = 0; column < width; column++, at += (wide - 1) * bytes)
                for (int i = 0; i < bytes; i++, at++, place++) {
                    uint32_t sum[8] = {0};
                    for (int corner = 0; corner < tall * wide; corner++)
                        for (int plane = 0; plane < from->planes; plane++) {
                            uint32_t carry = at[plane * from->plane + corner / wide * from->row +
                                                corner % wide * bytes];
                            for (int bit = plane; bit < to->planes; bit++) {
                                uint32_t both = sum[bit] & carry;
                                sum[bit] ^= carry;
                                carry = both;
                            }
                        }
                    for (int plane = 0; plane < to->planes; plane++)
                        place[plane * to->plane] = (uint8_t)sum[plane];
                }
        }
}
