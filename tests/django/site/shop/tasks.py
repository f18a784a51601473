"""Awa's tasks of the app; found because the module is called `tasks`."""

import os
import sys
from dataclasses import dataclass

from django.db import connection, connections, transaction

from awa.integrations.django import client, task
from tests.django.site.shop.models import Order


@dataclass
class SendReceipt:
    """Send the receipt of an order."""

    order: int


@task(SendReceipt, queue="email", max_attempts=3)
def send_receipt(job):
    order = Order.objects.get(pk=job.args.order)
    order.receipts += 1
    order.save()
    return {"customer": order.customer}


@task(kind="leave_atomic")
def leave_atomic(job):
    """A mistake: begins a transaction by hand and never ends it."""
    transaction.atomic().__enter__()
    Order.objects.create(customer="never committed")


@task(kind="where")
def where(job):
    """Tell which session this worker uses, and in which state it is found."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        (backend,) = cursor.fetchone()
    return {
        "pid": os.getpid(),
        "backend": backend,
        "in_atomic": connection.in_atomic_block,
        "queries": len(connection.queries_log),
        "aliases": [each.alias for each in connections.all(initialized_only=True)],
    }


if os.environ.get("SITE_ASKS_EARLY"):
    Order.objects.count()
    with connection.cursor() as asking:
        asking.execute("select pg_backend_pid()")
        print("early backend", *asking.fetchone(), file=sys.stderr, flush=True)

__all__ = ["client"]
