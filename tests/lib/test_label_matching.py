"""Labels in a different spelling are recognized as the same, different ones aren't."""

import pytest

from app.lib.label_matching import label_with_words, nearest_label, same_labels

LABELS = ["Walk In", "Follow-up Scheduled", "E-mail change", "Grade A+", "Grade A-", "1-2 years", "12 years", "पैन कार्ड"]


@pytest.mark.parametrize(
    ("typed", "label"),
    [
        ("Walk-in", "Walk In"),
        ("WALKIN", "Walk In"),
        ("walk_in", "Walk In"),
        ("walk\u2011in", "Walk In"),
        ("\uff37alk\u00a0In", "Walk In"),
        ("follow up scheduled", "Follow-up Scheduled"),
        ("Email change", "E-mail change"),
        ("grade a+", "Grade A+"),
        ("1 2 years", "1-2 years"),
        ("पैन-कार्ड", "पैन कार्ड"),
    ],
)
def test_what_is_written_in_another_way_is_the_same(typed: str, label: str) -> None:
    assert same_labels(typed, LABELS) == [label]


@pytest.mark.parametrize("typed", ["", " ", "-", "Walk Out", "Grade A", "12", "पन कार्ड", "x" * 100_000, "- " * 50_000])
def test_what_differs_is_not_the_same(typed: str) -> None:
    assert same_labels(typed, LABELS) == []


def test_the_nearest_is_named_if_one_is_near() -> None:
    assert nearest_label("Wolk-inn", LABELS) == "Walk In"
    assert nearest_label("Refferal", ["Referral", "Reference"]) == "Referral"
    assert nearest_label("zzz", LABELS) is None


def test_the_label_with_the_most_words() -> None:
    labels = ["send due reminders", "remind of re-KYC", "reassign overdue tasks"]
    assert label_with_words("REMIND OF DUE TASKS", labels) == "send due reminders"
    assert label_with_words("remind", labels) is None
    assert label_with_words("of zzz", labels) is None
