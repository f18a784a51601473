"""What the application is made of, before there is an application."""

from flask_sqlalchemy import SQLAlchemy

from awa.integrations.flask import Awa

db = SQLAlchemy()
awa = Awa()
