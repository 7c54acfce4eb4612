/* What the emulator calls for each block of instructions and each access to memory: a call of C
   takes nanoseconds, one of Python a microsecond. */

#include <stdint.h>

typedef struct {
    uint64_t base, ram;       /* where the code and, behind it, the state begin */
    uint32_t *runs, *sizes;   /* of a block at base + 2 i: how often it ran, how long it is */
    uint32_t changed;         /* whether a block had two sizes */
    uint32_t accesses[4];     /* reads of flash and of RAM, writes of flash and of RAM */
} counter;

enum { MEMORY_WRITE = 17 }; /* UC_MEM_WRITE */

void count_block(void *core, uint64_t at, uint32_t size, counter *c)
{
    uint64_t block = (at - c->base) / 2;
    (void)core;
    c->changed |= c->runs[block]++ && c->sizes[block] != size;
    c->sizes[block] = size;
}

void count_access(void *core, int kind, uint64_t at, int size, int64_t value, counter *c)
{
    (void)core, (void)size, (void)value;
    c->accesses[2 * (kind == MEMORY_WRITE) + (at >= c->ram)]++;
}
