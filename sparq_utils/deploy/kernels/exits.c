/* ---- Exits: sure enough? --------------------------------------------------------------------- */

#ifndef WHOLE

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
GENERAL int conclude(const window *w, const void *from, const rounding *r, int exit,
                     float threshold, answer_t *answer)
{
    int best = 0;
    float total = 0;
    for (int o = 0; o < CLASSES; o++) {
        float logit = 0; /* added up step by step, as the network does: sums that tie round alike */
        for (int step = 0; step < STEPS; step++)
            logit += current_of(o, arriving(w, step, o), from, r);
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
GENERAL int conclude(const window *w, const int32_t *bias, const uint16_t *decay, int exit,
                     uint32_t threshold, answer_t *answer)
{
    int best = 0;
    uint32_t total = 0;
    for (int o = 0; o < CLASSES; o++) {
        int32_t logit = STEPS * bias[o];
        for (int step = 0; step < STEPS; step++)
            logit += arriving(w, step, o);
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
