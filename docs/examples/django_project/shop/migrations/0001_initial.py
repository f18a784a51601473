"""The shop's tables, and two kayaks on the shelf."""

import django.db.models.deletion
from django.db import migrations, models


def stock(apps, schema_editor):
    """Put products on the shelf."""
    apps.get_model("shop", "Product").objects.using(schema_editor.connection.alias).create(name="kayak", stock=2)


class Migration(migrations.Migration):
    """What `manage.py makemigrations` wrote, and the stock."""

    initial = True
    dependencies = []  # noqa: RUF012
    operations = [  # noqa: RUF012
        migrations.CreateModel(
            name="Product",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("stock", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("shipped", models.BooleanField(default=False)),
                (
                    "product",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="shop.product"),
                ),
            ],
        ),
        migrations.RunPython(stock, migrations.RunPython.noop),
    ]
