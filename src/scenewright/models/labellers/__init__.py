"""Labellers: networks that say where the wanted things of a generated picture are, with masks."""
