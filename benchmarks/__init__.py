"""Benchmarks: `python -m benchmarks` runs the scenarios and prints a table. README.md says how to read it."""
