"""Connections that callers bring, whichever library made them, as the engine needs them.

In: connections of psycopg, psycopg2, asyncpg, SQLAlchemy and Django. Out: statements that run in their transactions.
"""
