"""Our reactions to messages, as they are sent to the provider. The message itself has the list of its reactions."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import ForeignKey, Index, Integer, String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.channels.provider_registry import KINDS
from app.domain.base import RuleBroken, Stamp, UtcDateTime
from app.domain.messaging import messages
from app.domain.messaging.channel_accounts import ChannelAccount
from app.domain.messaging.messages import Message
from app.domain.persistence.transaction_state import transaction_state

#: Unicode categories of the characters of an emoji: symbols, skin tones, variants, and joiners.
_OF_EMOJI = frozenset(("So", "Sk", "Sm", "Mn", "Me", "Cf"))
#: Joins several emoji into one, such as a family.
_JOINER = "\u200d"
#: The emoji that people choose from. Any other can be sent over REST.
CHOICES = ("👍", "❤️", "😂", "😮", "😢", "🙏")


class MessageReaction(Model):  # type: ignore[misc]
    """Our newest reaction to a message, as sent to the provider. The customer sees only our newest one."""

    __tablename__ = "message_reaction"
    __table_args__ = (Index("ix_message_reaction_due", "state", "next_try_on"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"), nullable=False, unique=True)
    #: "" withdraws the last one.
    emoji: Mapped[str] = mapped_column(String(messages.MAX_REACTION), nullable=False)
    #: queued, sending, sent or failed.
    state: Mapped[str] = mapped_column(String(16), nullable=False)
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    error: Mapped[str | None] = mapped_column(String(300))
    began_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


def may_react(account_kind: str | None, channel: str) -> bool:
    """Whether this kind of account can send reactions on the channel."""
    kind = KINDS.get(account_kind or "")
    return kind is not None and kind.ability(channel).reactions


def react(session: Session, message: Message, emoji: str, stamp: Stamp) -> None:
    """React for us, replacing any earlier reaction of ours; "" withdraws it. Raises RuleBroken."""
    refuse_impossible(session, message, emoji)
    theirs = {who: each for who, each in (message.reactions or {}).items() if who == "peer"}
    message.reactions = (theirs | ({str(stamp.by): emoji} if emoji else {})) or None
    message.changed_on = stamp.now
    messages.mark_changed(session, message)
    row = _row(session, message.id)
    row.emoji, row.state, row.tries, row.error, row.next_try_on = emoji, "queued", 0, None, stamp.now
    session.flush()
    transaction_state(session).message_reactions.append(row.id)


def refuse_impossible(session: Session, message: Message, emoji: str) -> None:
    """Raise RuleBroken if no reaction can be sent, or the text isn't an emoji."""
    if emoji and not is_emoji(emoji):
        raise RuleBroken("Please choose one emoji as your reaction.", "emoji")
    if not message.peer:
        raise RuleBroken("What this message said was erased. Please write a new message.", "emoji")
    account = session.get(ChannelAccount, message.account_id) if message.account_id else None
    if not may_react(account.kind if account else None, message.channel):
        raise RuleBroken("Reactions can't be sent by this account. Please answer with a message instead.", "emoji")
    if not message.provider_id:
        raise RuleBroken("This message hasn't reached the customer yet, so nobody can react to it.", "emoji")


def is_emoji(text: str) -> bool:
    """Whether it is one emoji: a symbol, possibly with a skin tone, a flag's second letter or joined parts."""
    kinds = [unicodedata.category(sign) for sign in text]
    begins = [sign for n, sign in enumerate(text) if kinds[n] == "So" and text[n - 1 : n] != _JOINER]
    is_flag = len(begins) == 2 and all("\U0001f1e6" <= sign <= "\U0001f1ff" for sign in begins)
    is_one = len(begins) == 1 or is_flag
    return is_one and len(text) <= messages.MAX_REACTION and _OF_EMOJI.issuperset(kinds)


def _row(session: Session, message_id: int) -> MessageReaction:
    """The message's row; concurrent calls get the same one."""
    query = select(MessageReaction).where(MessageReaction.message_id == message_id).with_for_update()
    if found := session.scalars(query).first():
        return found
    made: Any = MessageReaction(message_id=message_id, emoji="", state="sent", tries=0)
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        return session.scalars(query).one()
    return made  # type: ignore[no-any-return]
