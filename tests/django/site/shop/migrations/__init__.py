"""Depends on Awa's, so that it could insert jobs."""
