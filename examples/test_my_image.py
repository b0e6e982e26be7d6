"""A case of one's own: `pytest examples/test_my_image.py`, with `--dut …` for a real device."""

import pytest


@pytest.mark.disruptive
def test_my_image_survives_two_failovers(dut, image):
    dut.containerz.deploy(image.archive, name=image.name, tag=image.tag)
    for _ in range(2):
        dut.switchover(redundant=True)
        dut.containerz.expect_image(image)
