"""Class maps of pictures that are there already, by any class names: one pass of the network, or denoising.

Import from the modules themselves, e.g. ``from scenewright.segment.ensemble import ensemble``.
"""
