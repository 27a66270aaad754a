"""Data sets of generated pictures: built, looked at, checked, split, carried over into other formats.

A data set is a folder: ``dataset.json`` says how it was made, ``journal.jsonl`` what became of every picture,
and every picture that was kept is a Record (``NAME.png``, ``NAME.scene.json``) with the latent of its last
step (``NAME.latent.safetensors``).

source (`sources`) -> orders -> batch (`work`): generate, label (`labelling`), filter (`filters`) -> files and
journal (`journal`, `build`). Label maps take the same way, with sources and filters of their own
(`map_source`, `weather`, `map_work`, `map_request`). `streets` and `imports` bring in what others made; the
other modules read the folder (`folder`).
"""
