"""The networks of this release, each written out here: a bundle brings tensors for them, never code of its own.

Imported by inference.py alone, inside the worker process.
"""
