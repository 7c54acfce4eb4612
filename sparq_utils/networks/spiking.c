/* Spiking layers in C: synapses that skip zeros, and neurons in one pass.

   A dense synapse meets every weight at every step of time. Here an input that spikes, an event,
   adds its row of weights to the outputs it reaches, and an input that is silent costs a
   comparison. A row that was fetched serves several steps of time: an event is an input that is not
   zero in one of them. Outputs are worked on in blocks whose weights stay in the cache while all
   images pass. */

#include <stdint.h>

typedef float lanes __attribute__((vector_size(64), aligned(4)));
enum { LANES = 16, NEURONS = 256, MOST_NEURONS = 8192 }; /* at once; pooled ones need whole rows */

#define GENERAL static inline __attribute__((always_inline)) /* made to measure where it is used */

typedef void work(void *);
typedef void parallel(work *, void *, unsigned threads, unsigned flags); /* as GOMP_parallel */

static void in_threads(parallel *run, work *part, void *job, int threads)
{
    if (run && threads > 1)
        run(part, job, (unsigned)threads, 0);
    else
        part(job);
}

/* The next number, for whichever thread asks first. */
static int32_t next(int32_t *taken) { return __atomic_fetch_add(taken, 1, __ATOMIC_RELAXED); }

/* ---- Synapses -------------------------------------------------------------------------------- */

typedef struct {
    const float *input; /* of any layout: steps, images, channels, rows, columns are so far apart */
    int64_t step, image, channel, row, column;
    const float *weights; /* [blocks][tall][wide][channels][LANES * vectors] */
    const float *bias;    /* [blocks][LANES * vectors] */
    float *output;        /* [steps][images][out_height][out_width][outputs] */
    int32_t *columns;     /* [units][height * width * channels]: x * channels + c of each event */
    float *values;        /* [units][height * width * channels][together] */
    int32_t *starts;      /* [units][height][width + 1]: the first event of each pixel of a row */
    int32_t steps, images, channels, height, width, outputs, out_height, out_width;
    int32_t tall, wide, top, left, down, right; /* the kernel, its padding, its stride */
    int32_t together, vectors, blocks;          /* steps at once, outputs at once */
    int32_t portion, searched, gathered;
} synapse;

/* An image over the steps of a group is a unit of work. */
static int units(const synapse *s)
{
    return (s->steps + s->together - 1) / s->together * s->images;
}

/* How many steps a unit has: the last group may have fewer. */
static int steps_of(const synapse *s, int unit)
{
    int left = s->steps - unit / s->images * s->together;
    return left < s->together ? left : s->together;
}

/* Events lie by rows of the image, so that those of a kernel's row are neighbours. */
GENERAL void search(const synapse *s, int unit, int together)
{
    int64_t most = (int64_t)s->height * s->width * s->channels, count = 0;
    const float *input = s->input + unit % s->images * s->image +
                         (int64_t)(unit / s->images) * together * s->step;
    int32_t *columns = s->columns + unit * most;
    float *values = s->values + unit * most * together;
    int32_t *start = s->starts + (int64_t)unit * s->height * (s->width + 1);
    int steps = steps_of(s, unit);
    for (int y = 0; y < s->height; y++) {
        for (int x = 0; x < s->width; x++) {
            const float *pixel = input + y * s->row + x * s->column;
            *start++ = (int32_t)count;
            for (int c = 0; c < s->channels; c++) {
                int any = 0;
                for (int t = 0; t < together; t++) {
                    float value = t < steps ? pixel[c * s->channel + t * s->step] : 0;
                    values[count * together + t] = value; /* overwritten if nothing happened */
                    any |= value != 0;
                }
                columns[count] = x * s->channels + c;
                count += any;
            }
        }
        *start++ = (int32_t)count;
    }
}

/* A block of outputs of a unit: whatever happened within the kernel's window adds its weights. */
GENERAL void gather(const synapse *s, int unit, int block, int together, int vectors)
{
    int size = LANES * vectors, rest = s->outputs - block * size, steps = steps_of(s, unit);
    int64_t most = (int64_t)s->height * s->width * s->channels;
    int64_t image = (int64_t)s->out_height * s->out_width * s->outputs, step = image * s->images;
    const float *weights = s->weights + (int64_t)block * s->tall * s->wide * s->channels * size;
    const float *bias = s->bias + (int64_t)block * size;
    const int32_t *columns = s->columns + unit * most;
    const float *values = s->values + unit * most * together;
    const int32_t *starts = s->starts + (int64_t)unit * s->height * (s->width + 1);
    float *output = s->output + unit % s->images * image + (int64_t)block * size +
                    unit / s->images * together * step;
    for (int oy = 0; oy < s->out_height; oy++)
        for (int ox = 0; ox < s->out_width; ox++, output += s->outputs) {
            lanes sums[4][4];
            for (int t = 0; t < together; t++)
                for (int v = 0; v < vectors; v++)
                    sums[t][v] = *(const lanes *)(bias + v * LANES);
            int x = ox * s->right - s->left, y = oy * s->down - s->top;
            int from = x > 0 ? x : 0, to = x + s->wide < s->width ? x + s->wide : s->width;
            for (int ky = 0; from < to && ky < s->tall; ky++) {
                if (y + ky < 0 || y + ky >= s->height)
                    continue;
                const int32_t *start = starts + (y + ky) * (s->width + 1);
                int64_t first = (int64_t)(ky * s->wide - x) * s->channels;
                for (int i = start[from]; i < start[to]; i++) {
                    const float *row = weights + (first + columns[i]) * size;
                    const float *value = values + (int64_t)i * together;
                    for (int v = 0; v < vectors; v++)
                        for (int t = 0; t < together; t++)
                            sums[t][v] += value[t] * *(const lanes *)(row + v * LANES);
                }
            }
            for (int t = 0; t < steps; t++)
                if (rest >= size)
                    for (int v = 0; v < vectors; v++)
                        *(lanes *)(output + t * step + v * LANES) = sums[t][v];
                else
                    for (int i = 0; i < rest; i++)
                        output[t * step + i] = sums[t][i / LANES][i % LANES];
        }
}

static void search_part(void *job)
{
    synapse *s = job;
    for (int unit; (unit = next(&s->searched)) < units(s);)
        switch (s->together) {
        case 1: search(s, unit, 1); break;
        case 2: search(s, unit, 2); break;
        default: search(s, unit, 4);
        }
}

static void gather_unit(const synapse *s, int unit, int block)
{
    switch (s->together * 10 + s->vectors) {
    case 11: gather(s, unit, block, 1, 1); break;
    case 12: gather(s, unit, block, 1, 2); break;
    case 14: gather(s, unit, block, 1, 4); break;
    case 21: gather(s, unit, block, 2, 1); break;
    case 22: gather(s, unit, block, 2, 2); break;
    case 24: gather(s, unit, block, 2, 4); break;
    case 41: gather(s, unit, block, 4, 1); break;
    case 42: gather(s, unit, block, 4, 2); break;
    default: gather(s, unit, block, 4, 4);
    }
}

static void gather_part(void *job)
{
    synapse *s = job;
    int all = units(s), portions = (all + s->portion - 1) / s->portion;
    for (int turn; (turn = next(&s->gathered)) < portions * s->blocks;) {
        int unit = turn % portions * s->portion;
        int end = unit + s->portion < all ? unit + s->portion : all;
        for (; unit < end; unit++)
            gather_unit(s, unit, turn / portions);
    }
}

/* Every thread has a few turns at each block, so that none waits long for another. */
void synapse_run(synapse *s, parallel *run, int threads)
{
    int turns = (4 * threads + s->blocks - 1) / s->blocks;
    s->portion = units(s) / turns + 1;
    s->searched = s->gathered = 0;
    in_threads(run, search_part, s, threads);
    in_threads(run, gather_part, s, threads);
}

/* ---- Neurons --------------------------------------------------------------------------------- */

typedef struct {
    const float *current;   /* [steps][neurons], or [neurons] the same at every step */
    float *spikes;          /* [steps][neurons / (tall * wide)]: the mean of each window */
    float *membranes;       /* [steps][neurons], before the reset; null where nobody asks */
    int64_t neurons, apart; /* currents of two steps are this far apart */
    float start, beta, threshold;
    int32_t steps;
    int32_t tall, wide;     /* the window; 1, 1 if spikes are not pooled */
    int32_t width, inner;   /* columns of an image, and what lies side by side in each of them */
    int32_t taken;
} population;

GENERAL void copy(const float *from, float *restrict to, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = from[i];
}

/* The windows of `tall` rows of an image. */
GENERAL void average(const float *fired, float *restrict spikes, int tall, int wide, int columns,
                     int inner)
{
    for (int x = 0; x < columns; x++)
        for (int c = 0; c < inner; c++) {
            float sum = 0;
            for (int i = 0; i < tall; i++)
                for (int j = 0; j < wide; j++)
                    sum += fired[((i * columns + x) * wide + j) * inner + c];
            spikes[x * inner + c] = sum / (float)(tall * wide);
        }
}

static void emit(const population *p, const float *fired, float *spikes, int count)
{
    int columns = p->width / p->wide, rows = p->tall * p->width * p->inner;
    if (p->tall == 1 && p->wide == 1) {
        copy(fired, spikes, count);
        return;
    }
    for (; count > 0; count -= rows, fired += rows, spikes += columns * p->inner)
        if (p->tall == 2 && p->wide == 2 && p->inner == 1)
            average(fired, spikes, 2, 2, columns, 1);
        else if (p->tall == 2 && p->wide == 2)
            average(fired, spikes, 2, 2, columns, p->inner);
        else
            average(fired, spikes, p->tall, p->wide, columns, p->inner);
}

/* A product is stored before anything is added to it: rounded as PyTorch rounds. */
static void neurons_part(void *job)
{
    population *p = job;
    float beta = p->beta, threshold = p->threshold;
    int rows = p->tall * p->width * p->inner, area = p->tall * p->wide;
    int size = rows < NEURONS ? NEURONS / rows * rows : rows; /* whole windows at once */
    for (int64_t at; (at = (int64_t)next(&p->taken) * size) < p->neurons;) {
        int count = p->neurons - at < size ? (int)(p->neurons - at) : size;
        float membrane[MOST_NEURONS], decayed[MOST_NEURONS], fired[MOST_NEURONS];
        for (int i = 0; i < count; i++) {
            decayed[i] = beta * p->start;
            fired[i] = 0;
        }
        for (int t = 0; t < p->steps; t++) {
            const float *current = p->current + t * p->apart + at;
            for (int i = 0; i < count; i++) {
                membrane[i] = decayed[i] + current[i] - threshold * fired[i];
                fired[i] = membrane[i] > threshold;
                decayed[i] = beta * membrane[i];
            }
            emit(p, fired, p->spikes + (t * p->neurons + at) / area, count);
            if (p->membranes)
                copy(membrane, p->membranes + t * p->neurons + at, count);
        }
    }
}

void neurons_run(population *p, parallel *run, int threads)
{
    p->taken = 0;
    in_threads(run, neurons_part, p, threads);
}

/* ---- Neurons, backwards ---------------------------------------------------------------------- */

enum { TRIANGULAR, FAST_SIGMOID };

typedef struct {
    const float *membranes, *gradient; /* [steps][neurons]: before the reset; of the spikes */
    float *result;                     /* [steps][neurons]: of the currents */
    int64_t neurons;
    float beta, threshold, height, slope; /* the triangle's height, and how it falls */
    int32_t steps, surrogate, taken;
} history;

/* How much a spike changes with the membrane; products are stored, so rounded, before sums. */
GENERAL void sense(const history *h, const float *membranes, float *restrict sensitive,
                   int count, int surrogate)
{
    float factor = surrogate == TRIANGULAR ? h->slope : 25;
    float threshold = h->threshold, highest = h->height;
    for (int i = 0; i < count; i++)
        sensitive[i] = __builtin_fabsf(membranes[i] - threshold) * factor;
    for (int i = 0; i < count; i++)
        if (surrogate == TRIANGULAR) {
            float height = sensitive[i] + highest;
            sensitive[i] = height > 0 ? height : 0;
        } else {
            float low = sensitive[i] + 1;
            sensitive[i] = 1 / (low * low);
        }
}

static void back_part(void *job)
{
    history *h = job;
    float beta = h->beta;
    for (int64_t at; (at = (int64_t)next(&h->taken) * NEURONS) < h->neurons;) {
        int count = h->neurons - at < NEURONS ? (int)(h->neurons - at) : NEURONS;
        float sensitive[NEURONS], later[NEURONS];
        for (int i = 0; i < count; i++)
            later[i] = 0;
        for (int t = h->steps - 1; t >= 0; t--) {
            int64_t place = t * h->neurons + at;
            if (h->surrogate == TRIANGULAR)
                sense(h, h->membranes + place, sensitive, count, TRIANGULAR);
            else
                sense(h, h->membranes + place, sensitive, count, FAST_SIGMOID);
            const float *gradient = h->gradient + place;
            for (int i = 0; i < count; i++)
                sensitive[i] *= gradient[i];
            for (int i = 0; i < count; i++)
                later[i] = sensitive[i] + beta * later[i];
            copy(later, h->result + place, count);
        }
    }
}

void back_run(history *h, parallel *run, int threads)
{
    h->taken = 0;
    in_threads(run, back_part, h, threads);
}
