"""jobs.py of a reader who has one."""

import awa

client = awa.Client()


@client.task()
def anything(job):
    """Do nothing."""
