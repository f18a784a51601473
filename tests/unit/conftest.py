"""Hypothesis without a deadline: a busy machine must not fail a test whose result is right."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("awa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("awa")
