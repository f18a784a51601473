# Stand-ins for commands that a page shows and a test must not run as they are: each checks what it is given instead.
# Everything else a page shows is the real thing.

make() { command make --dry-run --directory "$DOCS_ROOT" "$@" >/dev/null; }             # the target exists

pip() { command python -m tests.docs.requirement "$@"; }                               # ours, with extras there are

python3() { if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && : >"$3/bin/activate"; else command python "$@"; fi; }

sudo() { "$@"; }

systemctl() { case "$1" in daemon-reload|enable|start|stop|reload|restart|status) ;; *) return 64 ;; esac; }

journalctl() { [ "$1" = "-u" ]; }
