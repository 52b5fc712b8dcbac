"""Compare the records of a trial: the product's, the providers', and the load's own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bench import data_sizes
from bench.load import Browser, Request
from bench.measured_versions import sign_in

if TYPE_CHECKING:
    from bench.channel_fault_run import Installation, MessageCounts

#: States in which the product has nothing left to do, including those that only a person can resolve.
OVER = {"sent", "delivered", "read", "failed", "canceled", "unknown"}


def report(held: Installation, books: MessageCounts, campaign: int) -> int:
    """Print the comparison. Returns 1 if something is wrong."""
    faults = [*books.wrong[:20], *_outgoing(held, books), *_incoming(held, books), *_campaign(held, campaign)]
    faults += [*_calls(held), *_pages(held), *_leftovers(held)]
    print(f"answers to people: {dict(sorted(books.statuses.items()))}")
    print(f"answers to the provider's reports: {dict(held.double.answers)}; its faults: {dict(held.double.faults)}")
    print("\n".join(f"WRONG: {each}" for each in faults) or "nothing is wrong")
    return int(bool(faults))


def _outgoing(held: Installation, books: MessageCounts) -> list[str]:
    rows = held.rows(
        "SELECT id, channel, peer, body, state, reason FROM message WHERE direction = 'out' AND account_id IS NOT NULL"
    )
    by_id = {row[0]: row for row in rows}
    states = Counter((row[1], row[4]) for row in rows)
    print(f"acknowledged {len(books.acknowledged)} of {len(rows)} in the outbox: {dict(states)}")
    faults = [f"{mark} was acknowledged and is gone" for mark, key in books.acknowledged.items() if key not in by_id]
    faults += [f"message {row[0]} is {row[4]}" for row in rows if row[4] not in OVER]
    faults += [
        f"message {row[0]} is {row[4]} without a reason"
        for row in rows
        if row[4] in ("failed", "unknown") and not row[5]
    ]
    there = Counter((each["to"], each["body"]) for each in held.double.messages.values())
    ends = {(each["to"], each["body"]): each for each in held.double.messages.values()}
    print(f"the provider took {sum(there.values())} messages and {sum(books.mails.values())} mails")
    faults += [f"the provider took {count} times: {what}" for what, count in there.items() if count > 1]
    faults += [f"the mail server took {mark} {count} times" for mark, count in books.mails.items() if count > 1]
    for key, channel, peer, body, state, reason in rows:
        sms = ends.get((peer, body)) if channel == "sms" else None
        taken = sms if channel == "sms" else books.mails.get(body.split()[0])
        if state in ("sent", "delivered", "read") and not taken:
            faults.append(f"message {key} is {state}, but nobody took it")
        if state == "failed" and taken and not (sms and sms["status"] == "undelivered"):
            faults.append(f"message {key} is failed ({reason}), but was taken")
        told = held.double.reported.get(sms["sid"]) if sms else None
        if told in ("delivered", "read") and state not in ("delivered", "read"):
            faults.append(f"message {key} is {state}, but {told} was reported")
    return faults


def _incoming(held: Installation, books: MessageCounts) -> list[str]:
    rows = held.rows("SELECT body FROM message WHERE direction = 'in'")
    found = Counter(row[0].split()[0] for row in rows if row[0])
    events = dict(held.rows("SELECT state, COUNT(*) FROM inbound_event GROUP BY state"))
    print(f"incoming: {len(books.taken)} taken, {len(rows)} rows; requests: {events}")
    faults = [f"incoming {mark} was answered and is gone" for mark in books.taken if not found[mark]]
    faults += [f"incoming {mark} is there {count} times" for mark, count in found.items() if count > 1]
    return faults + [f"{count} requests are {state}" for state, count in events.items() if state not in ("done",)]


def _campaign(held: Installation, campaign: int) -> list[str]:
    states = dict(
        held.rows("SELECT state, COUNT(*) FROM campaign_recipient WHERE campaign_id = %s GROUP BY state", campaign)
    )
    twice = held.rows(
        "SELECT peer, COUNT(*) FROM message WHERE cause LIKE %s GROUP BY peer HAVING COUNT(*) > 1",
        f"campaign:{campaign}%",
    )
    state = held.rows("SELECT state FROM campaign WHERE id = %s", campaign)[0][0]
    print(f"campaign {state}: {states}")
    return [f"campaign: {peer} has {count} messages" for peer, count in twice] + (
        [] if state == "done" else [f"the campaign is {state}"]
    )


def _calls(held: Installation) -> list[str]:
    states = dict(held.rows("SELECT state, COUNT(*) FROM call_request GROUP BY state"))
    print(f"calls: {states}; the provider rang {sum(held.double.calls.values())}")
    faults = [f"call {key} was dialed {count} times" for key, count in held.double.calls.items() if count > 1]
    known = {f"c{row[0]}": row[1] for row in held.rows("SELECT call_id, state FROM call_request")}
    faults += [
        f"call {key} was dialed and is {known.get(key)}"
        for key in held.double.calls
        if known.get(key) not in ("sent", "unknown")
    ]
    return faults + [f"{count} calls are {state}" for state, count in states.items() if state in ("queued", "sending")]


def _pages(held: Installation) -> list[str]:
    """Check that a page shows every failed or unknown message."""
    browser = sign_in(Browser(held.web.port, "127.0.0.8"), data_sizes.MANAGER)
    status, _headers, text = browser.send(Request("GET", "/undelivered/"))
    dead = held.rows("SELECT COUNT(*) FROM message WHERE state IN ('failed', 'unknown')")[0][0]
    print(f"/undelivered/ answers {status}; {dead} messages failed or unknown")
    return [] if status == 200 and (not dead or f"{dead:,}" in text) else [f"/undelivered/ does not show {dead}"]


def _leftovers(held: Installation) -> list[str]:
    letters = held.rows("SELECT function, COUNT(*) FROM failed_call GROUP BY function")
    traces = held.web.log.read_text(errors="replace").count("Traceback (most recent call last)")
    print(f"tracebacks in the log: {traces}; dead letters: {dict(letters)}")
    return [f"{count} dead letters of {name}" for name, count in letters]
