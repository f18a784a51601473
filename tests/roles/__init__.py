"""What each of Awa's roles can do, and what it cannot."""
