"""A shadow: what a live system said beside what this one would have said, and where the two differ. Pure."""
