"""What a run counts, in the database."""

from typing import Final

FIGURES: Final = {
    "jobs committed": "select count(*) from chaos.ledger",
    "completed": "select count(*) from chaos.attempt where outcome = 3",
    "cancelled": "select count(*) from chaos.attempt where outcome = 6",
    "failed, as they were meant to": "select count(*) from chaos.attempt where outcome = 5",
    "attempts retried": "select count(*) from chaos.attempt where outcome = 4",
    "attempts ended by the death of a worker": """select count(*) from chaos.attempt
        where error ->> 'type' in ('WorkerDied', 'NodeLost')""",
    "jobs an at-least-once handler ran to its end twice": """select count(*) from (
        select from chaos.effect where what = 'ran' group by job having count(*) > 1) twice""",
    "jobs with effects in their own transaction": "select count(*) from chaos.once",
    "results that did not count: cancelled, or the lease had gone": """select count(*) from (
        select from chaos.effect e where what = 'ran' and not exists (
          select from chaos.attempt a where a.job = e.job and a.attempt = e.attempt and a.outcome = 3)) refused""",
}
