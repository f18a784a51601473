"""The Django integration: a real project, on real databases, in processes of its own."""
