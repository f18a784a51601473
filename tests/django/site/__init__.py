"""A Django project whose settings come from the environment; `suite` are its tests, run by Django's own runner."""
