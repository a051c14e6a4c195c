"""The pool in cimba, whose processes are compiled. Its compilation is not counted."""

import sys
import time

import cimba as cb
import numpy as np

from tests.benchmarks.peers.windows import MEAN_S, RATE, WINDOW_S, report


class Pool(cb.Model):
    rate: cb.Param[float]
    mean: cb.Param[float]
    queue: cb.Store[float]
    answers: cb.Array[int]
    errors: cb.Array[int]
    histogram: cb.Array[int]
    latency: float
    all_answers: cb.Output[float]
    all_errors: cb.Output[float]
    all_latency: cb.Output[float]

    @cb.process
    def arrivals(self):
        while True:
            cb.hold(cb.random.exponential(1.0 / self.rate))
            self.queue.put(cb.now())

    @cb.process(copies=32)
    def server(self):
        while True:
            came = self.queue.get()
            cb.hold(cb.random.exponential(self.mean))
            now = cb.now()
            took = now - came
            window = int(now / 15.0)
            bucket = 0
            if took > 0.005:
                bucket += 1
            if took > 0.01:
                bucket += 1
            if took > 0.025:
                bucket += 1
            if took > 0.05:
                bucket += 1
            if took > 0.1:
                bucket += 1
            if took > 0.25:
                bucket += 1
            if took > 0.5:
                bucket += 1
            if took > 1.0:
                bucket += 1
            if took > 2.5:
                bucket += 1
            if took > 5.0:
                bucket += 1
            if took > 10.0:
                bucket += 1
            self.answers[window] += 1
            self.histogram[window * 12 + bucket] += 1
            self.latency = self.latency + took
            if cb.random.bernoulli(0.02):
                self.errors[window] += 1

    @cb.on_end
    def end(self):
        answers = 0
        errors = 0
        for count in self.answers:
            answers += count
        for count in self.errors:
            errors += count
        self.all_answers = float(answers)
        self.all_errors = float(errors)
        self.all_latency = self.latency


def main(until_s: float, seed: int) -> None:
    count = int(until_s / WINDOW_S) + 1
    model = Pool()
    model.latency = 0.0
    model.rate, model.mean = RATE, MEAN_S
    model.answers, model.errors, model.histogram = cb.Array(count), cb.Array(count), cb.Array(count * 12)

    def play(seconds: float):
        window = cb.Window(warmup=0, duration=seconds)
        return cb.Experiment(model, replications=1, window=window, seed=seed).run()[model]

    play(1.0)
    start = time.process_time()
    found = play(until_s)
    cpu_s = time.process_time() - start
    outputs = (found.all_answers, found.all_errors, found.all_latency)
    answers, errors, latency = (float(np.asarray(one).ravel()[0]) for one in outputs)
    report(int(answers), cpu_s, int(errors), latency)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
