"""The demo: a small application, and the story of one run of it with a worker killed half-way.

The application is `app.py` (its client and its one task), `analysis.py` (what the task computes), `library.py` (what
there is to analyse) and `tables.py` (where the results go). The story is `story.py`, told with `place.py` (a database
and a directory for the length of the run), `supervisor.py` (the child process), `kill.py` (the kill, and what its
recovery took), `progress.py` (the bar), `facts.py` (what the database says in the end), `checks.py` (whether that is
as promised) and `report.py` (the same in words).

In: a number of files, and a database if one is given. Out: a report, in words or as JSON.
"""
