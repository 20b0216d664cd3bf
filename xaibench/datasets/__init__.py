"""Data sets: loaders and generators.

The registry imports every module below; a component needs its file and nothing else.
"""
