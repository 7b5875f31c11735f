"""What is kept on disk, behind protocols: callers know neither files nor SQL."""
