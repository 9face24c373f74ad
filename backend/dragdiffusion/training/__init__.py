"""Trains the embedded model from nothing on the rendered world, on a CPU or a graphics card."""
