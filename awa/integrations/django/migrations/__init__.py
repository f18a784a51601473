"""The migrations of the app, where Django looks for them.

In: Django's plan. Out: Awa's schema in the project's database.
"""
