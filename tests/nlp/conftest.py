"""What all tests that read data share."""

from tests.helpers.own_cache import own_cache  # noqa: F401
