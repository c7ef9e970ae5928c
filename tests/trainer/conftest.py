"""A teacher that several files make claims about."""

from tests.helpers.trainers import stored, teacher  # noqa: F401
