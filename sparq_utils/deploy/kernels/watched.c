/* ---- For a page that shows what happens: every layer's spikes, every exit's answer ----------- */

#ifdef WATCHED

uint8_t watched[WATCHED_BYTES]; /* what every neuron said at every step, layer by layer */
answer_t answers[EXITS];
uint32_t spent[EXITS][2]; /* additions and multiplications until there */
static uint32_t additions, multiplications;

typedef struct {
    int32_t height, width, channels, out_height, out_width, outputs;
    int32_t tall, wide, top, left, down, right; /* the kernel, its padding, its stride */
} shape;

/* Outputs in a row or column that see place `at` of the input. */
GENERAL int seen_by(int at, int taps, int padding, int stride, int outputs)
{
    int count = 0;
    for (int output = 0; output < outputs; output++)
        count += at + padding >= output * stride && at + padding < output * stride + taps;
    return count;
}

/* Count the weights that what arrived has met. */
GENERAL void count_met(int how, const uint8_t *x, const map *m, const shape *s)
{
    int bytes = how == PIXELS ? s->channels : (s->channels + 7) / 8;
    for (int y = 0; y < s->height; y++)
        for (int column = 0; column < s->width; column++) {
            const uint8_t *at = x + y * m->row + column * bytes;
            uint32_t met = (uint32_t)(seen_by(y, s->tall, s->top, s->down, s->out_height) *
                                      seen_by(column, s->wide, s->left, s->right, s->out_width) *
                                      s->outputs);
            for (int c = 0; c < s->channels; c++)
                if (how == PIXELS)
                    multiplications += at[c] ? met : 0;
                else
                    for (int step = 0; step < STEPS; step++) {
                        uint32_t number = said_at(at, m, step, c);
                        if (STEPS > 1)
                            additions += number * met;
                        else if (number && how == HANDED)
                            additions += met;
                        else if (number)
                            multiplications += met;
                    }
        }
}

/* Write down what neurons said, step by step. */
GENERAL void watch(const uint8_t *x, const map *m, const shape *s, uint8_t *to)
{
    int bytes = (s->outputs + 7) / 8;
    for (int y = 0; y < s->out_height; y++)
        for (int column = 0; column < s->out_width; column++)
            for (int c = 0; c < s->outputs; c++, to += WATCHED_STRIDE)
                for (int step = 0; step < STEPS; step++)
                    to[step] = (uint8_t)said_at(x + y * m->row + column * bytes, m, step, c);
}

#define SEE(layer, from, to) see_##layer(from, to)
#define NOTE(exit)                                                                                 \
    (answers[exit] = *answer, spent[exit][0] = additions, spent[exit][1] = multiplications)
#else
#define SEE(layer, from, to) ((void)0)
#define NOTE(exit) ((void)0)
#endif
