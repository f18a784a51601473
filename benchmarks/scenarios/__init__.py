"""One file each: what it measures, why, and how to read it."""
