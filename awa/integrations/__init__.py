"""Awa inside web frameworks, one folder a framework; each imports its framework, which only its users have.

In: a framework's settings, connections and commands. Out: a client, and `awa` and `awa-supervisor` as commands of the
framework.
"""
