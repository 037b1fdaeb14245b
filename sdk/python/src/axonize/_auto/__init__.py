"""Holds `sitecustomize`, which `axonize-run` puts in front of the module path."""
