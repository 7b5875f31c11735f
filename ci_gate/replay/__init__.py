"""The record of a service run through the scheduler once more, without effects: what was decided, and what would be."""
