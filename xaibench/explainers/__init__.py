"""Explainers and controls, one family of methods per file; what several of them share is in `engines`.

The registry imports every module below; a component needs its file and nothing else.
"""
