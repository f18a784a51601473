from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [("awa", "0001_initial")]  # noqa: RUF012
    operations = [  # noqa: RUF012
        migrations.CreateModel(
            "Order",
            [
                ("id", models.BigAutoField(primary_key=True, auto_created=True, serialize=False, verbose_name="ID")),
                ("customer", models.CharField(max_length=100)),
                ("receipts", models.IntegerField(default=0)),
            ],
        )
    ]
