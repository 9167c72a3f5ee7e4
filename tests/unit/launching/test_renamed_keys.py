"""A key that has been renamed."""

import pytest

from launcher.errors import ConfigError
from launcher.launching.compose import compose


@pytest.mark.parametrize(
    "typed", ["resources.silence_s=5", "+resources.silence_s=5", "++resources.silence_s=5"]
)
def test_a_former_name_of_a_key_is_answered_with_its_present_name(typed):
    with pytest.raises(ConfigError) as refused:
        compose(["+experiment=tiny", typed])
    assert str(refused.value) == (
        "resources.silence_s is now called resources.hang_timeout_s; write resources.hang_timeout_s=VALUE"
    )
