"""Compression towards one limit on the whole chip: the targets, what they cost, the search for the smallest."""
