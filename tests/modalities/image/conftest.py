"""An exported model that several files make claims about."""

from tests.helpers.exported import colour  # noqa: F401
