"""How the site is built: ``make docs``. Pages below ``generated/`` are written by ``tools/docs`` when a build begins."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from airflow_provider_lightspeed import __version__  # noqa: E402 - found through the path above
from tools.docs import pages, reference  # noqa: E402 - the same

project = "Lightspeed Retail for Apache Airflow"
author = "The airflow-provider-lightspeed developers"
copyright = author  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["remedies"]
templates_path = ["_templates"]
nitpicky = True
# The standard library, Airflow and Arrow have sites of their own. Nothing is downloaded while this one is built.
nitpick_ignore_regex = [("py:.*", r"(?!airflow_provider_lightspeed\.(hooks|operators|sensors|triggers)\.).*")]
suppress_warnings = ["myst.header"]  # a page included in another one may begin below the first level

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
add_module_names = False
maximum_signature_line_length = 80

html_theme = "furo"
html_title = "Lightspeed Retail provider"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
#: The colours of Airflow's logo, darkened or lightened until text in them has a contrast of 4.5.
_BRAND: Final = ("color-brand-primary", "color-brand-content", "color-api-name", "color-api-pre-name")
_LIGHT: Final = {**dict.fromkeys(_BRAND, "#0167c4"), "color-brand-visited": "#6b4fa0"}
_DARK: Final = {**dict.fromkeys(_BRAND, "#5cb8ff"), "color-brand-visited": "#b9a0f0"}
html_theme_options = {
    "light_css_variables": _LIGHT,
    "dark_css_variables": _DARK,
    "navigation_with_keys": True,
}


def setup(app: Any) -> None:
    """Write the generated pages before Sphinx looks for sources; make links of the files that docstrings name."""
    app.connect("builder-inited", lambda app: pages.write(Path(app.srcdir) / "generated"))
    app.connect("autodoc-process-docstring", reference.link_pages)
