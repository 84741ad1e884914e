"""Positions: coordinate systems, grid cells, regions. Kernels on arrays, compiled once and without the GIL."""
