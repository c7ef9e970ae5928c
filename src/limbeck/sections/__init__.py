"""The sections that every recipe has; no torch."""
