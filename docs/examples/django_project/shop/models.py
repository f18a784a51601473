"""The shop's tables."""

from django.db import models


class Product(models.Model):
    """Something to sell. There are never fewer than none of it."""

    name = models.CharField(max_length=100, primary_key=True)
    stock = models.PositiveIntegerField()  # PostgreSQL refuses what is below zero

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """What somebody wants; `shipped` when it is on its way."""

    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    shipped = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"order {self.pk}"
