"""The benchmark behind `awa bench`: the smallest one, on a given or a temporary database.

In: a database and a number of processes. Out: the rates of inserts and of workers, and the time from insert to start.
"""
