"""The one migration of the app "awa"."""
