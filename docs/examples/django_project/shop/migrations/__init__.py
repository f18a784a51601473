"""The tables, and two kayaks on the shelf."""
