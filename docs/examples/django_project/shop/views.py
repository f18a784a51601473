"""What the web sees."""

import json

from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from awa import JobNotFound
from awa.integrations.django import client
from shop.models import Order, Product
from shop.tasks import ShipOrder, thank


@require_GET
def front(request):
    """A page to look at."""
    names = ", ".join(Product.objects.values_list("name", flat=True))
    return HttpResponse(f"We have: {names}", content_type="text/plain")


@csrf_exempt
@require_POST
def create_order(request):
    """Take an order: the order, the stock and both jobs change together, or not at all."""
    product = get_object_or_404(Product, pk=json.loads(request.body)["product"])
    try:
        with transaction.atomic():
            order = Order.objects.create(product=product)
            job = client.insert(ShipOrder(order.pk))
            thanks = thank.enqueue(order.pk)
            Product.objects.filter(pk=product.pk).update(stock=F("stock") - 1)
    except IntegrityError:  # the last one was sold meanwhile; with the order, its jobs are gone as well
        return JsonResponse({"error": "sold out", "job": job.id}, status=409)
    return JsonResponse({"order": order.pk, "job": job.id, "thanks": int(thanks.id)}, status=201)


@require_GET
def show_job(request, job_id):
    """How a job stands, and what came of it."""
    try:
        job = client.get_job(job_id)
    except JobNotFound:
        return JsonResponse({"error": "no such job"}, status=404)
    return JsonResponse({"job": job.id, "state": str(job.state), "result": job.result})


@require_GET
def show_order(request, order_id):
    """An order."""
    order = get_object_or_404(Order, pk=order_id)
    return JsonResponse({"order": order.pk, "product": order.product_id, "shipped": order.shipped})
