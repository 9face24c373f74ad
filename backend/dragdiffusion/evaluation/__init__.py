"""Benchmarks with known truth, and reports that show pictures."""
