"""What happens, as events: each is emitted once, whoever subscribes; the log is one subscriber.

In: calls of `events.emit` from every later room. Out: calls of subscribers, and lines on standard error.
"""
