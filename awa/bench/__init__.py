"""What `awa bench` runs: the smallest of the benchmarks, on a database of the user's or on one for the occasion."""
