"""Data sets that are files: tables, arrays and folders of images, named in a suite and described by parameters."""
