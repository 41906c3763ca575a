"""The words of the ledger, one page per noun; importing this package declares them all."""

import importlib
import pkgutil

for _page in sorted(page.name for page in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_page}")
