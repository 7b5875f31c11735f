"""Every figure that the README claims, by one command: ``make bench`` writes ``bench/results.md``."""
