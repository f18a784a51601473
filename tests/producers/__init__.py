"""Producers in other languages, which know nothing of Awa but its SQL contract."""
