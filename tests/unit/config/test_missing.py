import omegaconf

from launcher.config.missing import MISSING


def test_a_key_without_a_value_is_what_omegaconf_takes_for_one():
    assert MISSING == omegaconf.MISSING
