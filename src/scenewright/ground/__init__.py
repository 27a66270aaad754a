"""Masks out of the network that draws: features of one sampling step, a small head that reads them, words.

Import from the modules themselves, e.g. ``from scenewright.ground.head import GroundingHead``.
"""
