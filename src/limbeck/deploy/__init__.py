"""An exported model: written, checked, measured."""
