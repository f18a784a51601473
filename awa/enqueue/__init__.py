"""Inserting over whatever connection there is: arguments become rows, rows are inserted, callers get jobs.

`prepare` makes rows of what a caller passes, `inserter` and `copier` insert them, `results` makes jobs of the answer,
`transaction` commits them with the application's own rows.

In: arguments, options and a connection. Out: jobs, or the exception that says which one was refused. Handlers insert,
too, so this comes before the worker.
"""
