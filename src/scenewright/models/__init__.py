"""Named models: cards of what exists, where it is, adapters on top of backbones, loading by name.

Import from the modules themselves, e.g. ``from scenewright.models.load import load_bundle``.
"""
