"""A store that several files make claims about."""

from tests.helpers.stores import whole  # noqa: F401
