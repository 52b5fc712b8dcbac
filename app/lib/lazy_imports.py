"""The lock for imports within functions of packages whose modules import each other in circles, as openpyxl's do.

Two threads that begin to import such a package at the same moment can wait for each other; Python then raises an
ImportError in one of them, and the package stays unusable for others meanwhile.
"""

from __future__ import annotations

import threading

#: Held during such an import; free once the package is loaded.
IMPORTING = threading.RLock()
