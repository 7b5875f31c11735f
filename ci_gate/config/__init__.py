"""Text to ``Settings`` and ``Layout``, with problems that name file, line and column."""
