"""The command line: one file per command, each one call into `scenewright.flows`."""
