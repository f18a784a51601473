"""The scoreboard: memory that one supervisor and its workers share, a slot a worker.

`scoreboard.py` makes and maps the memory, `slot.py` names the fields of a slot, `journal.py` holds finished jobs that
are not settled yet, `checks.py` tells damage from data, `seat.py` is a worker's view.

In: what each process knows of its own work. Out: what the others must know when that process can no longer say it.
"""
