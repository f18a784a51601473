"""The way to the server: connections of Awa's own and of callers, statements read from `sql/`, and the schema.

`open.py` opens connections, `source.py` lends them, `pipeline.py` sends statements, `errors.py` translates what the
driver raises. Connections of other libraries are in `adapters/`, those of event loops in `aio/`, the schema's
installation in `schema/`.

In: addresses, connections, names of statements. Out: rows, or an `AwaError` that says what to do.
"""
