"""pytest examples/pytest"""

import pytest


def test_the_container_answers(router, web):
    assert router.ping_container(web)


@pytest.mark.disruptive
def test_it_answers_after_a_failover(router, web):
    before = router.containerz.container("example-web")
    router.switchover(redundant=True)
    router.containerz.expect_container("example-web", like=before)
    router.expect_answer(web)


def test_a_device_that_is_clean_for_one_test(dut):
    """The fixture `dut` is clean before and after each test that uses it."""
    assert dut.control_processors()
