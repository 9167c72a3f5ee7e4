"""The items of notify: their forms, and addresses that are secrets."""

import pytest

from launcher.config.notify import check_targets, targets_of
from launcher.errors import ConfigError

HOOK = "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"


@pytest.mark.parametrize(
    "item", ["mailto:me@site.org", "https://ntfy.sh/my_topic", "http://localhost:8000/x", "env:MY_HOOK"]
)
def test_an_address_without_a_secret_is_taken(item):
    check_targets([item], {"MY_HOOK": HOOK})
    assert targets_of([item], {"MY_HOOK": HOOK})[0].shown == item


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (HOOK, "notify=https://hooks.slack.com/... can hold a secret"),
        ("https://me:pw12345@host/x", "notify=https://host/... can hold a secret"),
        ("https://host/x?token=abcd1234", "notify=https://host/... can hold a secret"),
        ("https://host/api/0123456789abcdef01", "notify=https://host/... can hold a secret"),
        ("hooks.slack.com/services/T0/B0/abcd", "notify=hooks.slack.com/... is not an address"),
        ("me@site.org", "notify=me@site.org is not an address; use mailto:"),
        ("mailto:-oQ/tmp@x", "is not an address"),
        ("mailto:a@b\nBcc: c@d", "is not an address"),
        ("", "notify= is not an address"),
        ("env:UNSET", "UNSET is not set in this shell; export it"),
        ("env:WRONG", "the value of WRONG is not an address"),
    ],
)
def test_other_items_are_refused_without_showing_a_secret(item, said):
    with pytest.raises(ConfigError) as refused:
        check_targets([item], {"WRONG": "ftp://token-abcd1234"})
    assert said in str(refused.value)
    for secret in ("abcdefgh", "pw12345", "abcd1234", "0123456789abcdef"):
        assert secret not in str(refused.value)
