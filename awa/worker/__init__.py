"""A worker: claim → run → settle, one job after the other in one thread.

`process.py` is the life of a worker process from fork to exit code, `loop.py` one step of its loop; the other modules
are the things the loop names.

In: leases of ready batches, the application's registry, a slot of the board. Out: settlements, and an exit code.
"""
