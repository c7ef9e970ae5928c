"""What an exported file says of itself: the key under which it says it, and the version of what it says. No torch."""

METADATA_KEY = "limbeck"
SCHEMA_VERSION = 1
