"""The shop: an order, and the jobs that ship it and thank for it, are one transaction."""
