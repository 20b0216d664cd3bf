"""Models: architectures and training recipes.

The registry imports every module below; a component needs its file and nothing else.
"""
