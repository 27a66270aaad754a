"""Small real components for tests, ours and those of packages built on this one."""

from scenewright.testing.tiny import tiny_backbone, tiny_tokenizer

__all__ = ["tiny_backbone", "tiny_tokenizer"]
