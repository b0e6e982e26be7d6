"""A device for a whole module, made of holdfast's own fixtures: one session, one container, many tests."""

import pytest

from holdfast import cntrsrv


@pytest.fixture(scope="module")
def router(dut_session):
    """A connected device: the emulated one, or `--dut ADDRESS`."""
    return dut_session


@pytest.fixture(scope="module")
def web(router, tmp_path_factory):
    """A container on it; its port."""
    archive = tmp_path_factory.mktemp("image") / "web.tar"
    cntrsrv.write_archive(archive, name="web", tag="example")
    router.containerz.deploy(archive)
    router.containerz.start("example-web", image="web:example", ports={60061: 60061})
    yield 60061
    router.containerz.remove("example-web", force=True, missing_ok=True)
    router.containerz.remove_image("web:example", missing_ok=True)
