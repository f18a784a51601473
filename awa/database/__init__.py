"""The way to the server: connections, statements read from `sql/`, and the schema's life."""
