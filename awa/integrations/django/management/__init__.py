"""Commands of `manage.py`, where Django looks for them.

In: options of the command line. Out: what `awa` and `awa-supervisor` do with them.
"""
