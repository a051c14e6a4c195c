/* Generators: xoshiro256++ and the ziggurat for exponential variates. Clock: CPU time of the process. */
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef struct {
    uint64_t s[4];
} rng_t;

static inline uint64_t rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static inline uint64_t rng_next(rng_t *r) {
    uint64_t *s = r->s, result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static inline void rng_seed(rng_t *r, uint64_t x) {
    for (int i = 0; i < 4; i++) { /* splitmix64 */
        uint64_t z = x += 0x9e3779b97f4a7c15ULL;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        r->s[i] = z ^ (z >> 31);
    }
}

#define UNIT (1.0 / 9007199254740992.0)
static inline double rng_unit(rng_t *r) { return (rng_next(r) >> 11) * UNIT; }

#define TAIL 7.69711747013104972
static double layer_x[257], layer_y[257];

static void layers_init(void) {
    const double area = 0.0039496598225815571993;
    layer_x[0] = area * exp(TAIL);
    layer_x[1] = TAIL;
    for (int i = 2; i < 256; i++) layer_x[i] = -log(exp(-layer_x[i - 1]) + area / layer_x[i - 1]);
    layer_x[256] = 0;
    for (int i = 0; i < 257; i++) layer_y[i] = exp(-layer_x[i]);
}

static double exponential_rest(rng_t *r, int i, double x) {
    for (;;) {
        if (i == 0) return TAIL - log(1.0 - rng_unit(r));
        if (layer_y[i] + (layer_y[i + 1] - layer_y[i]) * rng_unit(r) < exp(-x)) return x;
        uint64_t bits = rng_next(r);
        i = bits & 255;
        x = (bits >> 11) * UNIT * layer_x[i];
        if (x < layer_x[i + 1]) return x;
    }
}

static inline double rng_exponential(rng_t *r) {
    uint64_t bits = rng_next(r);
    int i = bits & 255;
    double x = (bits >> 11) * UNIT * layer_x[i];
    return __builtin_expect(x < layer_x[i + 1], 1) ? x : exponential_rest(r, i, x);
}

static inline double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static inline int bucket_of(double x) {
    static const double bound[11] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
    int k = 0;
    for (int i = 0; i < 11; i++) k += x > bound[i];
    return k;
}
