"""Sphinx: furo, Markdown by MyST, and the docstrings of the installed package."""

from __future__ import annotations

import django_kms_secrets

project = "django-kms-secrets"
author = "the django-kms-secrets authors"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name
version = release = django_kms_secrets.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "tools", "requirements.txt"]
nitpicky = True

myst_heading_anchors = 3
myst_enable_extensions = ["fieldlist"]

# A single back-tick in a docstring is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# No network in a build, so no inventories: what the standard library and Django define stays text.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!django_kms_secrets).*"),
    (r"py:.*", r"django_kms_secrets\..*\.T"),  # a type variable
]

html_theme = "furo"
html_title = f"django-kms-secrets {release}"
html_copy_source = False
html_show_sphinx = False
