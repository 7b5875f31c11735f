"""Results databases of the sql reporter, as Zuul 2 left them or new (outputs.md 4): value → rows."""
