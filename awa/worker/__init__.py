"""A worker: claim → run → settle, one job after the other in one thread.

`child.py` is the life of a worker process from fork to exit code, `loop.py` one step of its loop; the other modules are
the things the loop names.
"""
