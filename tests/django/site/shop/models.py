"""What is sold."""

from django.db import models


class Order(models.Model):
    """Somebody wants something."""

    customer = models.CharField(max_length=100)
    receipts = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.customer
