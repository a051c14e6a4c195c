"""The same work by others: C loops, SimPy, ciw, cimba. Each prints requests and CPU seconds, as JSON.

*Pool*: 32 servers, Poisson 1000/s, exponential work of 25.6 ms, 2 % errors; per 15 s counts, errors and a
latency histogram. *Balanced*: 10 pods of 8 slots and 64 places to wait, 10 % of the requests to one of them,
lognormal work of mean 64 ms and coefficient of variation 1, clients that wait a second and try three times.
"""
