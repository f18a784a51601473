"""What the web sees."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, request, url_for
from sqlalchemy.exc import IntegrityError

from awa import JobNotFound
from shop.extensions import db, jobs
from shop.models import Order, Product
from shop.tasks import ShipOrder

shop = Blueprint("shop", __name__)

FORM = '<form method="post" action="/orders"><input name="product" value="kayak"><button>Order</button></form>'


@shop.get("/")
def front() -> str:
    """The form."""
    return FORM


@shop.post("/orders")
def create_order() -> Any:
    """Take an order, from the form or as JSON: the order, the stock and the job change together, or not at all."""
    given = request.get_json() if request.is_json else request.form
    product = db.get_or_404(Product, given["product"])
    order = Order(product=product)
    db.session.add(order)
    db.session.flush()  # now it has its id
    job = jobs.insert(ShipOrder(order.id))
    product.stock = Product.stock - 1
    try:
        db.session.commit()
    except IntegrityError:  # the last one was sold meanwhile; with the order, its job is gone as well
        db.session.rollback()
        return {"error": "sold out", "job": job.id}, 409
    if not request.is_json:
        return redirect(url_for("shop.show_job", job_id=job.id), 303)
    return {"order": order.id, "job": job.id}, 201


@shop.get("/jobs/<int:job_id>")
def show_job(job_id: int) -> Any:
    """How a job stands, and what came of it."""
    try:
        job = jobs.get_job(job_id)
    except JobNotFound:
        return {"error": "no such job"}, 404
    return {"job": job.id, "state": str(job.state), "result": job.result}


@shop.get("/orders/<int:order_id>")
def show_order(order_id: int) -> Any:
    """An order."""
    order = db.get_or_404(Order, order_id)
    return {"order": order.id, "product": order.product_name, "shipped": order.shipped}
