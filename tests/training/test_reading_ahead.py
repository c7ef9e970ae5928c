"""A student learns the same from a store that is too large to be held and is read one batch ahead."""
