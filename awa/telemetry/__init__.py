"""Events: each is emitted once, to all subscribers; the log is one subscriber.

In: calls of `events.emit` from every later room. Out: calls of subscribers, and lines on standard error.
"""
