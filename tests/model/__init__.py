"""A Promela model of sealing, claiming, settling and rescue, which SPIN checks for every interleaving.

Read in this order: `awa.pml` is the whole and its sizes, `database.pml` what PostgreSQL does, then a file for each kind
of process: `producer.pml`, `sealer.pml`, `worker.pml` and `rescuer.pml`, with `lease.pml` for what the last two share.
`variants` lists what is checked, and which mistakes must be found; `spin` runs it. README.md says what is left out.

    make model
"""
