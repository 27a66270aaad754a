"""``python -m scenewright`` is the same as ``scenewright``."""

from scenewright.cli.main import main

main()
