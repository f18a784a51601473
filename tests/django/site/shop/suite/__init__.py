"""Tests that Django's runner runs, in a test database it makes: `python -m django test tests.django.site.shop.suite.inserting`."""
