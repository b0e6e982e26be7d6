"""pytest --lg-env device.yaml test_failover.py"""

import pytest


@pytest.fixture(scope="session")
def driver(target):
    return target.get_driver("HoldfastDriver", activate=False)


def test_a_volume_comes_through_a_failover(strategy, driver):
    strategy.transition("redundant")
    driver.dut.containerz.create_volume("labgrid-data")
    try:
        strategy.transition("failed_over")
        driver.dut.containerz.expect_volume("labgrid-data")
    finally:
        driver.dut.containerz.remove_volume("labgrid-data")


def test_off_has_no_session(strategy, driver):
    strategy.transition("off")
    with pytest.raises(Exception, match=r"not been activated|not active"):
        driver.switchover()
