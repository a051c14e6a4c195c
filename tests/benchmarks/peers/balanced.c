/* Ten pods behind power-of-two-choices as an event loop: slots, bounded queues, time-outs, retries.
   Draws are addressed by request and attempt (Philox4x32-10), arrivals drawn in the loop.
   Usage: balanced SECONDS SEED */
#include <stdio.h>
#include <stdlib.h>

#include "random.h"

#define PODS 10
#define SLOTS 8
#define WAITING 64
#define RING 4096
#define RECORDS 16384
static const double RATE = 1000, PATIENCE = 1.0, BACKOFF = .1;
static const int RETRIES = 2;
static double mu, sigma;
static uint32_t error_below[2], canary_below, key0;
static const uint32_t key1 = 0x5bd1e995;

typedef struct {
    uint32_t a, b, c, d;
} words_t;

static inline words_t words(int64_t id, uint32_t attempt, uint32_t purpose) {
    uint32_t c0 = id, c1 = id >> 32, c2 = attempt, c3 = purpose, k0 = key0, k1 = key1;
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53 * c0, q = (uint64_t)0xCD9E8D57 * c2;
        uint32_t n0 = (uint32_t)(q >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)q;
        c3 = (uint32_t)p;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    return (words_t){c0, c1, c2, c3};
}

/* Acklam's approximation of the normal quantile */
static double tail_quantile(double q) {
    return (((((-7.784894002430293e-03 * q - 3.223964580411365e-01) * q - 2.400758277161838e+00) * q -
              2.549732539343734e+00) * q + 4.374664141464968e+00) * q + 2.938163982698783e+00) /
           ((((7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996e+00) * q +
             3.754408661907416e+00) * q + 1.0);
}

static double quantile(double p) {
    if (p < 0.02425) return tail_quantile(sqrt(-2.0 * log(p)));
    if (p > 1.0 - 0.02425) return -tail_quantile(sqrt(-2.0 * log(1.0 - p)));
    double q = p - 0.5, r = q * q;
    return (((((-3.969683028665376e+01 * r + 2.209460984245205e+02) * r - 2.759285104469687e+02) * r +
              1.383577518672690e+02) * r - 3.066479806614716e+01) * r + 2.506628277459239e+00) * q /
           (((((-5.447609879822406e+01 * r + 1.615858368580409e+02) * r - 1.556989798598866e+02) * r +
              6.680131188771972e+01) * r - 1.328068155288572e+01) * r + 1.0);
}

static double work(words_t w) {
    double p = (((((uint64_t)w.a << 32) | w.b) >> 11) + .5) * UNIT;
    return exp(mu + sigma * quantile(p));
}

enum { GOOD, ERROR, TIMED_OUT, REJECTED };
static int64_t *counts, window_count;

static inline void count(int version, double at, double latency, int kind) {
    uint64_t k = (uint64_t)(at * (1.0 / 15));
    if (k >= (uint64_t)window_count) return;
    int64_t *row = counts + (k * 2 + version) * 16;
    if (kind <= ERROR) row[bucket_of(latency)]++;
    if (kind) row[11 + kind]++;
    row[15]++;
}

typedef struct {
    double at;
    int64_t id;
    int attempt;
} retry_t;
static retry_t retries[1 << 18];
static int retry_count;

static inline void retry(int64_t id, int attempt, double now) {
    if (attempt >= RETRIES) return;
    double wait = BACKOFF * (1 << attempt) * (.5 + words(id, attempt, 1).c * (1.0 / 4294967296.0));
    double at = now + wait;
    int j = retry_count++;
    while (j > 0) {
        int parent = (j - 1) >> 1;
        if (retries[parent].at <= at) break;
        retries[j] = retries[parent];
        j = parent;
    }
    retries[j] = (retry_t){at, id, attempt + 1};
}

static inline retry_t next_retry(void) {
    retry_t first = retries[0], e = retries[--retry_count];
    int j = 0;
    for (;;) {
        int left = 2 * j + 1;
        if (left >= retry_count) break;
        if (left + 1 < retry_count && retries[left + 1].at < retries[left].at) left++;
        if (retries[left].at >= e.at) break;
        retries[j] = retries[left];
        j = left;
    }
    retries[j] = e;
    return first;
}

enum { WAITS, SERVED, OVER };
typedef struct {
    double came, work;
    int64_t id;
    int attempt, pod;
    uint32_t outcome;
    int status;
} record_t;
static record_t records[RECORDS];
static double done_at[RING];
static int done_slot[RING], done_count;
static int busy[PODS], free_slots[PODS][SLOTS];
static int64_t queue[PODS][RING], head[PODS], tail[PODS], in_slot[PODS * SLOTS];

static inline void done_push(double at, int slot) {
    int j = done_count++;
    while (j > 0) {
        int parent = (j - 1) >> 1;
        if (done_at[parent] <= at) break;
        done_at[j] = done_at[parent];
        done_slot[j] = done_slot[parent];
        j = parent;
    }
    done_at[j] = at;
    done_slot[j] = slot;
}

static inline void complete(double t) {
    int slot = done_slot[0], pod = slot / SLOTS;
    int64_t r = in_slot[slot];
    record_t *e = &records[r & (RECORDS - 1)];
    double at;
    int other;
    if (r >= 0 && e->status == SERVED) {
        int version = pod == PODS - 1, kind = e->outcome < error_below[version];
        e->status = OVER;
        count(version, t, t - e->came, kind);
        if (kind) retry(e->id, e->attempt, t);
    }
    if (head[pod] < tail[pod]) {
        r = queue[pod][head[pod]++ & (RING - 1)];
        e = &records[r & (RECORDS - 1)];
        e->status = SERVED;
        in_slot[slot] = r;
        at = t + e->work;
        other = slot;
    } else {
        done_count--;
        at = done_at[done_count];
        other = done_slot[done_count];
        done_at[done_count] = INFINITY;
        busy[pod]--;
        free_slots[pod][busy[pod]] = slot;
        in_slot[slot] = -1;
        if (!done_count) return;
    }
    unsigned j = 0;
    for (;;) {
        unsigned left = 2 * j + 1;
        if (left >= (unsigned)done_count) break;
        double a = done_at[left], b = done_at[left + 1];
        unsigned child = left + (b < a);
        double value = b < a ? b : a;
        if (value >= at) break;
        done_at[j] = value;
        done_slot[j] = done_slot[child];
        j = child;
    }
    done_at[j] = at;
    done_slot[j] = other;
}

static int64_t play(rng_t *g, double until) {
    int64_t oldest = 0, newest = 0, next_id = 0, attempts = 0;
    for (int i = 0; i < RING; i++) done_at[i] = INFINITY;
    for (int p = 0; p < PODS; p++)
        for (int i = 0; i < SLOTS; i++) free_slots[p][i] = p * SLOTS + i;
    double arrival = rng_exponential(g) / RATE;
    for (;;) {
        double again = retry_count ? retries[0].at : INFINITY, done = done_count ? done_at[0] : INFINITY;
        while (oldest < newest && records[oldest & (RECORDS - 1)].status == OVER) oldest++;
        double late = oldest < newest ? records[oldest & (RECORDS - 1)].came + PATIENCE : INFINITY;
        double t = fmin(fmin(arrival, again), fmin(done, late));
        if (t >= until) break;
        if (t == done) {
            complete(t);
            continue;
        }
        if (t == late) {
            record_t *e = &records[oldest & (RECORDS - 1)];
            if (e->status == WAITS) head[e->pod]++;
            e->status = OVER;
            oldest++;
            count(e->pod == PODS - 1, t, PATIENCE, TIMED_OUT);
            retry(e->id, e->attempt, t);
            continue;
        }
        int64_t id;
        int attempt;
        if (t == arrival) {
            id = next_id++;
            attempt = 0;
            arrival += rng_exponential(g) / RATE;
        } else {
            retry_t r = next_retry();
            id = r.id;
            attempt = r.attempt;
        }
        attempts++;
        words_t w = words(id, attempt, 0), x = words(id, attempt, 1);
        int version = w.d < canary_below, first = version ? PODS - 1 : 0, n = version ? 1 : PODS - 1;
        int p = first + (int)(((uint64_t)x.a * n) >> 32), q = first + (int)(((uint64_t)x.b * n) >> 32);
        if (busy[q] + tail[q] - head[q] < busy[p] + tail[p] - head[p]) p = q;
        if (busy[p] >= SLOTS && tail[p] - head[p] >= WAITING) {
            count(version, t, 0, REJECTED);
            retry(id, attempt, t);
            continue;
        }
        int64_t r = newest++;
        record_t *e = &records[r & (RECORDS - 1)];
        *e = (record_t){t, work(w), id, attempt, p, w.c, WAITS};
        if (busy[p] < SLOTS) {
            int slot = free_slots[p][busy[p]++];
            e->status = SERVED;
            in_slot[slot] = r;
            done_push(t + e->work, slot);
        } else
            queue[p][tail[p]++ & (RING - 1)] = r;
    }
    return attempts;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    double until = atof(argv[1]);
    rng_t g;
    layers_init();
    sigma = sqrt(log(2.0));
    mu = log(.064) - log(2.0) / 2;
    error_below[0] = .02 * 4294967296.0;
    error_below[1] = .04 * 4294967296.0;
    canary_below = .10 * 4294967296.0;
    window_count = (int64_t)(until / 15) + 1;
    counts = calloc(window_count * 32, sizeof *counts);
    key0 = atoi(argv[2]);
    rng_seed(&g, atoll(argv[2]) + 1);
    double start = cpu_now();
    int64_t n = play(&g, until);
    double cpu = cpu_now() - start;
    int64_t errors = 0, timed_out = 0;
    for (int64_t i = 0; i < window_count * 2; i++) errors += counts[i * 16 + 12], timed_out += counts[i * 16 + 13];
    printf("{\"requests\": %ld, \"cpu_s\": %.6f, \"errors\": %.5f, \"timed_out\": %.6f}\n", (long)n, cpu,
           (double)errors / n, (double)timed_out / n);
}
