"""Means shared by the supervisor and its workers: memory, wake-ups, signals, and the life and death of processes.

    supervisor ──start──▶ forkserver ──fork──▶ worker 0, worker 1, …
        │  ▲  events         (forkserver/)          │  ▲
        │  └────────────── exits, rusage ◀──────────┘  │
        ├───────────────── board (shared memory) ◀────▶┤     board/
        └───────────────── wakes (one per slot)  ◀────▶┘     wakeups.py

Nothing here knows the database, the application or what a job does: it knows slots, process ids and bytes.

In: file descriptors, memory and process ids. Out: events, wake-ups and cells that others can read.
"""
