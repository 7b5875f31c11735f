"""One file a version, each on the one before."""
