"""Rows of one record that are found by what is found of another one, as complaints are by their tickets."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select


@dataclass(frozen=True)
class LinkedRows:
    """How the ids of `record` are found by those of `other`, in the statement that completes a search."""

    record: Any
    other: Any
    #: What tells its branches apart, besides the number of ids.
    key: Hashable
    #: Name of a parameter -> its value.
    open_values: Mapping[str, Any]
    #: (ids of the other record's rows, ids of their customers that fit) -> builders of SELECTs of an id. On bare tables
    #: no rule applies: the ids are shown to nobody. A mapped class has its rule.
    branches: Callable[[Sequence[Any], Sequence[Any]], list[Callable[[], Select[Any]]]]
