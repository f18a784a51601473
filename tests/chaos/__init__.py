"""Chaos: a fleet of supervisors under a stream of jobs, while faults are injected from a seeded schedule.

Read in this order: `schedule` says what will go wrong and when, `faults` does it, `fleet` keeps the nodes up, `stream`
brings the jobs whose handlers stand in `app`, `tables` keeps the evidence, `storm` is the run itself. Afterwards
`invariants` says whether anything was lost or done twice, `recovery` how long it took, `report` prints both.

    make chaos MINUTES=30 SEED=7
"""
