"""Archives with manifest.json and index.json, of which either may say less than the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from test_archives import APP, listed, refused, sent

import holdfast
from holdfast import exceptions

import archives
from archives import CONTAINERD_NAME, INDEX, MANIFEST, REF_NAME, Files, Image, descriptor, layout, named, saved, write

AMD = Image(layers=[archives.layer("amd")])
ARM = Image(architecture="arm64", variant="v8", layers=[archives.layer("arm")])
S390X = Image(architecture="s390x", layers=[archives.layer("s390x")])


def in_manifest_json(image: Image, *names: str) -> Files:
    return saved(image, *names, config="blobs/sha256/{hex}", layers="blobs/sha256/{hex}")


def export(*images: Image, present: tuple[Image, ...] | None = None) -> Files:
    """Of several platforms below one index, as `docker save` and `ctr export --all-platforms` write them."""
    beside = [archives.attestation(image.manifest) for image in images]
    below = [descriptor(image.manifest, MANIFEST, platform=image.platform) for image in images]
    inner = archives.index(*below, *(top for top, _ in beside))
    top = descriptor(inner, INDEX, annotations={CONTAINERD_NAME: f"docker.io/library/{APP}", REF_NAME: "v1"})
    attested = [content for _, content in beside]
    return layout([top], archives.blobs(inner), *(images if present is None else present), *attested)


def flat(*images: Image) -> Files:
    return layout([top for image in images for top in named(image, APP, platform=image.platform)], *images)


SHAPES: dict[str, Callable[..., Files]] = {"below an index": export, "at the top": flat}


@pytest.mark.parametrize("listed_one", [AMD, ARM], ids=["amd64 in manifest.json", "arm64 in manifest.json"])
@pytest.mark.parametrize("shape", SHAPES)
def test_all_platforms_of_an_export_are_there(
    shape: str, listed_one: Image, device: holdfast.Device, tmp_path: Path
) -> None:
    """moby#44833, containerd#11980: `manifest.json` names one of them."""
    path = write(tmp_path / "x.tar", SHAPES[shape](AMD, ARM, S390X) | in_manifest_json(listed_one, APP))
    opened = holdfast.Archive.open(path)
    assert next(image.id for image in opened.images) == listed_one.id
    assert {image.id for image in opened.images} == {AMD.id, ARM.id, S390X.id}
    with pytest.raises(exceptions.ImageError, match=r"holds 3 images.*linux/arm64/v8") as caught:
        device.containerz.deploy(path)
    assert "platform" in str(caught.value.hint)
    for image in (AMD, ARM, S390X):
        for retag in (None, "other:v9"):
            asked = f"linux/{image.architecture}"
            assert device.containerz.deploy(path, platform=asked, retag=retag).has_id(image.id)
            (name,) = listed(device)
            assert name.endswith(retag or APP)
            device.containerz.remove_image(name)


@pytest.mark.parametrize("retag", [None, "other:v9"])
def test_what_is_sent_has_the_chosen_image_in_both(retag: str | None, tmp_path: Path) -> None:
    """Docker's own store reads `manifest.json`, containerd's reads `index.json`."""
    path = write(tmp_path / "x.tar", export(AMD, ARM) | in_manifest_json(AMD, APP))
    state = tmp_path / "state"
    with holdfast.emulator(state=state) as chassis, holdfast.connect(chassis.address, insecure=True) as device:
        device.containerz.deploy(path, platform="linux/arm64", retag=retag)
        came = sent(state, ARM)
    (item,) = json.loads(came["manifest.json"])
    name = retag or f"docker.io/library/{APP}"
    assert item == json.loads(in_manifest_json(ARM, name)["manifest.json"])[0]
    assert came.keys() >= {item["Config"], *item["Layers"]}
    (top,) = json.loads(came["index.json"])["manifests"]
    assert top["digest"] == archives.digest(ARM.manifest)


@pytest.mark.parametrize("whole", [AMD, ARM], ids=["amd64", "arm64"])
def test_platforms_that_an_export_leaves_out_are_not_there(whole: Image, tmp_path: Path) -> None:
    part = archives.blobs(AMD.manifest, ARM.manifest, AMD.config, ARM.config)
    path = write(tmp_path / "x.tar", export(AMD, ARM, present=(whole,)) | part | in_manifest_json(whole, APP))
    assert [image.id for image in holdfast.Archive.open(path).images] == [whole.id]


def test_another_platform_that_is_damaged_is_refused(tmp_path: Path) -> None:
    """Its layer is whole, and another than its configuration names."""
    wrong = Image(ARM.layers, architecture="arm64", more={"rootfs": {"diff_ids": [archives.digest(b"another")]}})
    files = export(AMD, wrong) | in_manifest_json(AMD, APP)
    refused(write(tmp_path / "x.tar", files), "should be sha256:")


def test_an_image_of_another_name_is_there_too(tmp_path: Path) -> None:
    files = layout([*named(AMD, APP), *named(ARM, "app:v2")], AMD, ARM) | in_manifest_json(AMD, APP)
    opened = holdfast.Archive.open(write(tmp_path / "x.tar", files))
    assert [image.names for image in opened.images] == [(APP,), ("app:v2",)]


def test_a_damaged_index_beside_a_good_list_is_passed_over(tmp_path: Path) -> None:
    """`docker load` goes by `manifest.json`."""
    files = export(AMD) | in_manifest_json(AMD, APP) | {"index.json": b"{"}
    assert holdfast.Archive.open(write(tmp_path / "x.tar", files)).images[0].id == AMD.id


@pytest.mark.parametrize("empty", [b"null", b"[]", b"\nnull\n", b" [ ]"], ids=str)
def test_a_list_of_no_images_leaves_it_to_the_index(empty: bytes, device: holdfast.Device, tmp_path: Path) -> None:
    files = layout(named(AMD, APP), AMD)
    path = write(tmp_path / "x.tar", files | {"manifest.json": empty})
    assert [image.id for image in holdfast.Archive.open(path).images] == [AMD.id]
    for retag in (None, "other:v9"):
        assert device.containerz.deploy(path, retag=retag).has_id(AMD.id)
        assert listed(device) == {retag or APP}
        device.containerz.remove_image(retag or APP)
    refused(write(tmp_path / "none.tar", saved(AMD, APP) | {"manifest.json": empty}), "holds no image")
    refused(write(tmp_path / "both.tar", files | {"manifest.json": empty, "index.json": b"null"}), "holds no image")
