"""`manage.py awa`, `awa_migrate` and `awa_supervisor`.

In: options of the command line. Out: what `awa` and `awa-supervisor` do with them.
"""
