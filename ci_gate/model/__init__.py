"""Frozen values that every floor talks in. Standard library only; no I/O, no clock."""
