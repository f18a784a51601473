"""What workers do. They have an application context, so `db.session` works as in a view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shop.extensions import awa, db
from shop.models import Order


@dataclass
class ShipOrder:
    """The arguments of a job."""

    order_id: int


@awa.task(ShipOrder, queue="shipping")
def ship_order(job: Any) -> str:
    """Send an order on its way. Twice does no harm: a job may run again when its worker is killed."""
    order = db.session.get_one(Order, job.args.order_id)
    order.shipped = True
    db.session.commit()
    return f"a {order.product_name} is on its way"
