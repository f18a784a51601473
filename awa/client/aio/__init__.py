"""The asynchronous client: the synchronous one, in greenlets, with coroutines for methods.

In: calls in an event loop. Out: what `Client` returns and raises.
"""
