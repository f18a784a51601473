"""A Flask application that has talked to its database before anything is forked: `create_app()`.

`$SHOP_URL` is its database, for SQLAlchemy. Its handler says over which connections it works.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, current_app, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

from awa.integrations.flask import Awa

PID = text("select pg_backend_pid()")

db = SQLAlchemy()
awa = Awa()
own_engine = create_engine(os.environ["SHOP_URL"])
Own = awa.add_session(scoped_session(sessionmaker(own_engine)))
before: dict[str, int] = {}


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.update(SQLALCHEMY_DATABASE_URI=os.environ["SHOP_URL"], AWA_DATABASE_URL=os.environ.get("QUEUE_URL"))
    db.init_app(app)
    awa.init_app(app)
    with app.app_context():
        before["db"] = db.session.scalar(PID)
    before["own"] = Own.scalar(PID)  # and its session stays open
    before["pid"] = os.getpid()
    return app


@awa.task()
def tell(job: Any) -> dict[str, Any]:
    seen = {
        "app": current_app.name,
        "db": db.session.scalar(PID),
        "own": Own.scalar(PID),
        "pid": os.getpid(),
        "before": before,
        "left": [getattr(g, "job", None), len(db.session.new), len(Own.new)],
    }
    g.job = job.id
    return seen
