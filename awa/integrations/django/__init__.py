"""Awa in a Django project: jobs are inserted over Django's own connection, in the transaction that is open there.

    INSTALLED_APPS = [..., "awa.integrations.django"]

    from awa.integrations.django import client, task

    @task(SendReceipt)
    def send_receipt(job): ...

    client.insert(SendReceipt(order_id=order.id))

Importing this reads no settings and connects to nothing.

In: the settings `AWA` and `TASKS`. Out: `client` and `task`.
"""

from awa.integrations.django.project import ProjectClient

client = ProjectClient()
"""The project's client: its database is `DATABASES[AWA["DATABASE"]]`."""

task = client.task
"""Registers a handler, as `awa.Client.task` does."""

__all__ = ["client", "task"]
