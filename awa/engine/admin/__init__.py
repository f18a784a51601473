"""Operations on jobs that have not ended (`control`), that have ended (`ended`), that are dead letters
(`dlq`), and with queues; and why a job waits (`waiting`).

In: a connection, ids and filters. Out: rows of jobs, and what was changed.
"""
