"""Gerrit over SSH: its event stream, queries and reviews. Bytes to values and back; no decisions."""
