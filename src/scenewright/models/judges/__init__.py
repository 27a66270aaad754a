"""Judges: small networks, trained on the drawn worlds only, that read pictures and say what is in them."""
