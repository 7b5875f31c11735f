"""The service at work: inbox, outbox, wiring, lifecycle. Nothing here decides about changes."""
