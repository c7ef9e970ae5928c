"""The evidence that several files make claims about."""

from tests.helpers.evidence import evidence  # noqa: F401
