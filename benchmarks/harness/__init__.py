"""What scenarios share: a server, a supervisor to measure, samples and a table."""
