"""The schema in a database: installed, upgraded, checked, and the rights of roles in it.

In: a connection of the schema's owner. Out: a database at the version of this release, or the reason why it is not.
"""
