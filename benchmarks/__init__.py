"""Benchmarks: ratios taken in one run, each beside its own ceiling and a peer. Never part of the tests."""
