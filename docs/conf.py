"""Sphinx configuration: `make docs`."""

project = "kinemacolor"
author = "the kinemacolor developers"
copyright = "2026, the kinemacolor developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
exclude_patterns = ["_build"]
