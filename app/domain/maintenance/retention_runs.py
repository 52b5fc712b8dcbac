"""The tables of retention: the configured days, how far tables were scanned, and what was deleted."""

from __future__ import annotations

from datetime import datetime

from flask_appbuilder import Model
from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.base import UtcDateTime


class RetentionRule(Model):  # type: ignore[misc]
    """The state of one kind of `retention_kinds.KINDS`; a kind without a row has its defaults."""

    __tablename__ = "retention_rule"
    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    #: Null = the default.
    days: Mapped[int | None] = mapped_column(Integer)
    changed_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Every row up to this key was checked.
    reached: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0, server_default="0")


class RetentionRun(Model):  # type: ignore[misc]
    """The number of rows of one kind that one run has deleted."""

    __tablename__ = "retention_run"
    __table_args__ = (Index("ix_retention_run_kind", "kind", "id"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str] = mapped_column(String(40), nullable=False)
    #: The kind while the run is in progress, then null: unique, so that there is one at a time.
    open_key: Mapped[str | None] = mapped_column(String(40), unique=True)
    began_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    ended_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The age in days at which rows were deleted.
    days: Mapped[int] = mapped_column(Integer, nullable=False)
    deleted: Mapped[int] = mapped_column(Integer, nullable=False)
