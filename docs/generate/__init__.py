"""Reference pages made from the code: `python -m docs.generate` writes them, the tests compare them."""
