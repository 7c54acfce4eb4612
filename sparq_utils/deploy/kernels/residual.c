/* ---- Residual blocks: what comes by one way is set aside until the other's is known ---------- */

/* It comes from a synapse. In whole numbers, one of its sums is worth so many 1/65536 of those that
   it will be added to. */
#ifdef WHOLE
GENERAL void set_aside(const int32_t *bias, int32_t worth, const window *w)
{
    int32_t units = worth >> 16, rest = worth & 0xFFFF; /* small cores do not multiply to 64 bits */
    for (int step = 0; step < STEPS; step++)
        for (int o = 0; o < w->outputs; o++) {
            int32_t sum = arriving(w, step, o) + bias[o];
            uint32_t low = (uint32_t)(sum & 0xFFFF) * (uint32_t)rest >> 16;
            beside[step * w->outputs + o] = sum * units + (sum >> 16) * rest + (int32_t)low;
        }
}
#else
GENERAL void set_aside(const void *from, const rounding *r, const window *w)
{
    for (int step = 0; step < STEPS; step++)
        for (int o = 0; o < w->outputs; o++)
            beside[step * w->outputs + o] = current_of(o, arriving(w, step, o), from, r);
}
#endif

/* It is handed on from neurons: each number that they say is worth a current. */
GENERAL void hand_on(const uint8_t *x, const map *m, const current *worth, int outputs)
{
    for (int step = 0; step < STEPS; step++)
        for (int o = 0; o < outputs; o++)
            beside[step * outputs + o] = worth[said_at(x, m, step, o)];
}
