"""Limbeck: knowledge distillation as a finished tool."""

__version__ = "0.1.0"
