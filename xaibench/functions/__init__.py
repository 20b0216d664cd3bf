"""Function interpretation: sets of functions, interpreters and program metrics, one folder per kind of function.

The registry imports every module below; a component needs its file and nothing else.
"""
