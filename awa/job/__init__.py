"""The description of a job: its rows as applications see them, the options of an insert, and every check of a value
that callers pass.

In: values as callers write them. Out: values that have been checked, as JSON, bytes and frozen rows. Pure: no database,
no clock, no process.
"""
