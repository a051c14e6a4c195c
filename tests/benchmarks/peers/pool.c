/* The pool as a slot recursion (a heap of the times at which servers are free) or as an event loop.
   Usage: pool slots|events SECONDS SEED */
#include <stdio.h>
#include <stdlib.h>

#include "random.h"

typedef struct {
    int64_t count, errors, histogram[12];
} window_t;

static const double RATE = 1000, MEAN = 0.0256, ERROR_RATE = 0.02;
#define SERVERS 32

static inline void answer(window_t *windows, int count, double at, double latency, int error) {
    int k = (int)(at * (1.0 / 15));
    if (k < count) {
        windows[k].count++;
        windows[k].errors += error;
        windows[k].histogram[bucket_of(latency)]++;
    }
}

static int64_t by_slots(rng_t *r, double until, window_t *windows, int count, double *sum) {
    double free_at[64], t = 0, total = 0, gap = 1 / RATE;
    uint64_t error = (uint64_t)(ERROR_RATE * 18446744073709551615.0);
    int64_t n = 0;
    for (int i = 0; i < 64; i++) free_at[i] = i < SERVERS ? 0 : INFINITY;
    for (;;) {
        t += gap * rng_exponential(r);
        if (t >= until) break;
        n++;
        double begin = free_at[0] > t ? free_at[0] : t, end = begin + MEAN * rng_exponential(r);
        int failed = rng_next(r) < error;
        unsigned i = 0;
        for (;;) { /* replace the top: padding with infinity spares the question where the heap ends */
            unsigned left = 2 * i + 1;
            if (left >= SERVERS) break;
            double a = free_at[left], b = free_at[left + 1];
            unsigned child = left + (b < a);
            double value = b < a ? b : a;
            if (value >= end) break;
            free_at[i] = value;
            i = child;
        }
        free_at[i] = end;
        total += end - t;
        answer(windows, count, end, end - t, failed);
    }
    *sum = total;
    return n;
}

typedef struct {
    double at;
    int32_t kind;
    int32_t unused;
    double came;
} event_t;
static event_t events[256];
static int pending;

static inline void push(event_t e) {
    int i = pending++;
    while (i > 0) {
        int parent = (i - 1) >> 1;
        if (events[parent].at <= e.at) break;
        events[i] = events[parent];
        i = parent;
    }
    events[i] = e;
}

static inline event_t pop(void) {
    event_t first = events[0], e = events[--pending];
    int i = 0;
    for (;;) {
        int left = 2 * i + 1;
        if (left >= pending) break;
        if (left + 1 < pending && events[left + 1].at < events[left].at) left++;
        if (events[left].at >= e.at) break;
        events[i] = events[left];
        i = left;
    }
    events[i] = e;
    return first;
}

static int64_t by_events(rng_t *r, double until, window_t *windows, int count, double *sum) {
    static double queue[1 << 20];
    const uint64_t mask = (1 << 20) - 1;
    uint64_t head = 0, tail = 0, error = (uint64_t)(ERROR_RATE * 18446744073709551615.0);
    int busy = 0;
    double gap = 1 / RATE, total = 0;
    int64_t n = 0;
    pending = 0;
    push((event_t){gap * rng_exponential(r), 0, 0, 0});
    while (pending) {
        event_t e = pop();
        if (e.kind == 0) {
            if (e.at >= until) continue;
            n++;
            push((event_t){e.at + gap * rng_exponential(r), 0, 0, 0});
            if (busy < SERVERS) {
                busy++;
                push((event_t){e.at + MEAN * rng_exponential(r), 1, 0, e.at});
            } else
                queue[tail++ & mask] = e.at;
        } else {
            double latency = e.at - e.came;
            total += latency;
            answer(windows, count, e.at, latency, rng_next(r) < error);
            if (head != tail) {
                double came = queue[head++ & mask];
                push((event_t){e.at + MEAN * rng_exponential(r), 1, 0, came});
            } else
                busy--;
        }
    }
    *sum = total;
    return n;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    double until = atof(argv[2]), sum = 0;
    int count = (int)(until / 15) + 1;
    window_t *windows = calloc(count, sizeof *windows);
    rng_t r;
    layers_init();
    rng_seed(&r, atoll(argv[3]));
    double start = cpu_now();
    int64_t n = (strcmp(argv[1], "slots") ? by_events : by_slots)(&r, until, windows, count, &sum);
    double cpu = cpu_now() - start;
    int64_t answers = 0, errors = 0;
    for (int i = 0; i < count; i++) answers += windows[i].count, errors += windows[i].errors;
    printf("{\"requests\": %ld, \"cpu_s\": %.6f, \"latency_s\": %.6f, \"errors\": %.5f}\n", (long)n, cpu,
           sum / n, (double)errors / answers);
}
