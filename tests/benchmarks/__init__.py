"""Benchmarks, as commands and not as timed tests: ``python -m tests.benchmarks`` in the root of a clone."""
