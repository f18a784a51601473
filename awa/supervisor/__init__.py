"""The supervisor: keeps workers, and runs the duties of the leader when it is that.

It never imports the application: a forkserver does, and forks the workers. Its threads each have one service and one
connection (`service.py`); the main thread only moves signals, exits and the board along (`loop.py`).

`boot.py` starts the forkserver, `start.py` the rest.

    main thread   signals → forkservers → pool         loop.py, servers.py, pool.py
    heart         this node's heartbeat               heartbeat.py
    listener         LISTEN, poll, wake idle workers      listener.py
    proxy         settles for stuck and dead workers   delegate.py
    leader        elect; promote, rescue, retire       leader.py, duties/

In: settings, signals and exits. Out: processes that run jobs, and an exit code.
"""

from awa.supervisor.boot import run

__all__ = ["run"]
