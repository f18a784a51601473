"""Text for people: names made safe for a terminal, and the hint that a misspelt name gets.

In: text from elsewhere, and the names that are known. Out: text. Imports nothing of Awa.
"""
