"""A small shop: an order and the job that ships it are one transaction."""

from __future__ import annotations

from flask import Flask

from shop import models, views
from shop.extensions import awa, db


def create_app() -> Flask:
    """Make the application. Settings come from the environment: FLASK_SQLALCHEMY_DATABASE_URI, FLASK_AWA_…"""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg:///shop"
    app.config.from_prefixed_env()
    db.init_app(app)
    awa.init_app(app)
    app.register_blueprint(views.shop)
    app.cli.command("create-tables")(create_tables)
    return app


def create_tables() -> None:
    """Create the shop's tables, and put two kayaks on the shelf."""
    db.create_all()
    models.stock("kayak", 2)
