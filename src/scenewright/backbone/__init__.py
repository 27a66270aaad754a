"""The base model and how it is used: loading, text and phrase embedding, latents, the one sampling loop.

Import from the modules themselves, e.g. ``from scenewright.backbone.load import load_folder``.
"""
