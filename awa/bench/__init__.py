"""What `awa bench` runs: the smallest of the benchmarks, on a database of the user's or on one for the occasion.

In: a database and a number of processes. Out: the rates of inserts and of workers, and the time from insert to start.
"""
