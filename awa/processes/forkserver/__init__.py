"""A fresh interpreter that imports the application once and forks workers which share its memory.

The supervisor has threads, so it must not fork; and it must not import the application, whose memory, threads and bugs
would become its own. It starts this program instead, through `ForkServer`, and speaks with it over a socket:

    supervisor (handle.py)                    forkserver (__main__.py, serve.py)
      boot: what to call, board, wakes   ──▶    imports the application, freezes the garbage collector
                                         ◀──  ready, or boot_failed and exit code 3
      fork slot, message                 ──▶    forks; the child (child.py) calls the worker's entry point
                                         ◀──  forked pid, or fork_failed
                                         ◀──  exited pid, status, memory, CPU time: whenever a worker ends
      kill slot, signal                  ──▶    signals the worker's process group, if it has not been reaped
      ping                               ──▶    answers; one that does not is replaced by the supervisor
                                         ◀──  alive
      stop                               ──▶    kills all groups, reaps them, exits

Who dies with whom:

* A worker ends, however it ends: its process group is killed before the worker is reaped, so that what it started
  cannot outlive it, and no signal can reach a recycled process id.
* The forkserver ends: Linux kills its workers (PR_SET_PDEATHSIG); elsewhere they notice (`death.parent_gone`). The
  handle kills the groups it knows of as well and reports `ForkServerGone`.
* The supervisor ends: while booting, Linux kills the forkserver. Afterwards the forkserver is in its own loop, sees the
  socket close, kills all groups and exits. Having it killed by the kernel would be no quicker, and would leave behind
  what workers had started: a grandchild has no parent death signal.

In: what to call, and requests to fork or kill. Out: process ids and exits.
"""

from awa.processes.forkserver.events import (
    BootFailed,
    Event,
    Exited,
    Forked,
    ForkFailed,
    ForkServerGone,
    Ready,
)
from awa.processes.forkserver.handle import ForkServer

__all__ = ["BootFailed", "Event", "Exited", "ForkFailed", "ForkServer", "ForkServerGone", "Forked", "Ready"]
