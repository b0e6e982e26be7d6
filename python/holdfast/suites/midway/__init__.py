"""Failovers in the middle of something: after each, it is wholly done or wholly not."""
