"""The engine: the loop, its members, its journal, its policies.

``autofr.search`` names both this package and the function that users call; so the package can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from autofr.search.run import search

        return search(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
