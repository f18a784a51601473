"""What workers do. Awa finds this module because of its name, and closes Django's connections after a job as Django
does after a request."""

from dataclasses import dataclass

from awa.integrations.django import task
from awa.integrations.django.roots import root
from shop.models import Order

if root() == "django.tasks":
    from django.tasks import task as django_task
else:
    from django_tasks import task as django_task


@dataclass
class ShipOrder:
    """The arguments of a job."""

    order_id: int


@task(ShipOrder, queue="shipping")
def ship_order(job):
    """Awa's way: the handler gets a job. Twice does no harm: it may run again when its worker is killed."""
    order = Order.objects.get(pk=job.args.order_id)
    order.shipped = True
    order.save()
    return f"a {order.product_id} is on its way"


@django_task(queue_name="email")
def thank(order_id):
    """Django's way: a function with arguments."""
    return f"thank you for order {order_id}"
