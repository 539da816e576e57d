"""Castfield: one radiance field for a whole cast, from ordinary video."""

__version__ = "0.1.0"
