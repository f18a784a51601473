"""The shop's tables."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.extensions import db


class Product(db.Model):  # type: ignore[name-defined,misc]
    """Something to sell. There are never fewer than none of it."""

    __table_args__ = (CheckConstraint("stock >= 0", name="in_stock"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    stock: Mapped[int]


class Order(db.Model):  # type: ignore[name-defined,misc]
    """What somebody wants; `shipped` when it is on its way."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_name: Mapped[str] = mapped_column(ForeignKey(Product.name))
    shipped: Mapped[bool] = mapped_column(default=False)
    product: Mapped[Product] = relationship()


def stock(name: str, number: int) -> None:
    """Put products on the shelf."""
    db.session.merge(Product(name=name, stock=number))
    db.session.commit()
