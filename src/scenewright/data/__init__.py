"""Files of other programs: readers give scenes or records, writers take them.

One format per file. Boxes that stand out of their canvas are clipped, with a warning that counts them; a
file whose boxes leave it too often is refused, because its boxes mean something else
(`scenewright.data.foreign`).
"""
