"""Connections of event loops: synchronous code runs in greenlets, and the loop does the waiting.

In: asynchronous connections, pools and addresses. Out: the same sources and connections that synchronous clients use.
"""
