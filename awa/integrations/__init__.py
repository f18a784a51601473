"""Awa inside web frameworks, one a module; each imports its framework, which only its users have."""
