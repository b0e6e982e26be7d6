"""Image archives as the world writes them: what `docker load` and skopeo take opens, deploys and takes a name."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import exceptions

import archives
from archives import INDEX, Files, Image, digest, dump, edit, layout, named, saved, write

APP = "app:v1"


@pytest.fixture
def proves(device: holdfast.Device) -> Callable[..., holdfast.Archive]:
    """Checks that an archive opens as one image with these names, deploys, and takes another name."""

    def check(path: Path, image: Image, names: Sequence[str] = (APP,)) -> holdfast.Archive:
        opened = holdfast.Archive.open(path)
        (held,) = opened.images
        assert held.id == image.id
        assert held.names == tuple(names)
        assert held.platform == "/".join(image.platform.values())
        assert [layer.digest for layer in held.layers] == [digest(stored) for _, stored in image.packed()]
        if names:
            assert device.containerz.deploy(path).has_id(image.id)
            assert listed(device) == set(names)
            for name in names:
                device.containerz.remove_image(name)
        assert device.containerz.deploy(path, retag="other:v9").has_id(image.id)
        assert listed(device) == {"other:v9"}
        device.containerz.remove_image("other:v9")
        return opened

    return check


def listed(device: holdfast.Device) -> set[str]:
    return {f"{image.name}:{image.tag}" for image in device.containerz.images()}


def refused(path: Path, says: str) -> None:
    """With words on what is wrong, and without an accusation."""
    with pytest.raises(exceptions.ImageError, match=says) as caught:
        holdfast.Archive.open(path)
    assert caught.value.hint
    assert "do not load" not in str(caught.value)


def packed(*packings: str, text: str = "") -> Image:
    return Image(layers=[archives.layer(f"{text}{at}") for at in range(len(packings))], packings=packings)


# Layers are compressed: their digest is that of what they unpack to.

SHAPES: dict[str, Callable[[Image], Files]] = {
    "go-containerregistry": lambda image: saved(image, APP, config="sha256:{hex}", layers="{hex}.{packing}"),
    "jib": lambda image: saved(image, APP, config="config.json", layers="{hex}.{packing}"),
    "ko": lambda image: saved(image, APP, config="sha256:{hex}", layers="sha256:{hex}"),
    "docker before 25": lambda image: saved(image, APP, config="{hex}.json", layers="{hex}/layer.tar"),
    "bazel": lambda image: saved(image, APP, config="bazel-out/app/{hex}.config", layers="bazel-out/app/{hex}/layer"),
    "rules_oci": lambda image: saved(image, APP, config="blobs/sha256/{hex}", layers="blobs/sha256/{hex}.tar.gz"),
    "OCI layout": lambda image: layout(named(image, APP), image),
    "both": lambda image: (
        layout(named(image, APP), image) | saved(image, APP, config="blobs/sha256/{hex}", layers="blobs/sha256/{hex}")
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("packings", [["tar.gz", "tar.gz"], ["tar.gz", "tar"], ["tar.zst", "tar.gz"], []], ids=str)
def test_layers_may_be_compressed(
    shape: str, packings: list[str], proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    image = packed(*packings)
    opened = proves(write(tmp_path / "x.tar", SHAPES[shape](image)), image)
    assert opened.layout == ("OCI" if shape in ("OCI layout", "both") else "docker-save")


@pytest.mark.parametrize("packing", ["tar.bz2", "tar.xz"])
def test_layers_may_be_compressed_in_ways_that_docker_unpacks(
    packing: str, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    image = packed(packing, "tar")
    proves(write(tmp_path / "x.tar", saved(image, APP)), image)


def test_a_layer_may_be_there_twice(proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    image = Image(layers=[archives.layer("same")] * 2, packings=["tar.gz"] * 2)
    proves(write(tmp_path / "x.tar", saved(image, APP)), image)


def test_a_layer_may_have_several_members(tmp_path: Path) -> None:
    content = archives.layer("several") * 2
    image = Image(layers=[content])
    members = gzip.compress(content[:1000]) + gzip.compress(content[1000:])
    files = saved(image, APP)
    (name,) = json.loads(files["manifest.json"])[0]["Layers"]
    (held,) = holdfast.Archive.open(write(tmp_path / "x.tar", files | {name: members})).images
    assert held.layers[0].digest == digest(members)


def _layer(files: Files) -> str:
    return str(json.loads(files["manifest.json"])[0]["Layers"][0])


WRONG_LAYERS: dict[str, tuple[Callable[[Image], bytes], str]] = {
    "another content": (lambda _: gzip.compress(archives.layer("another")), "should be sha256:.* and is sha256:"),
    "cut short": (lambda image: gzip.compress(image.layers[0])[:-9], "is damaged: it does not unpack with gzip"),
    "a flipped bit": (lambda image: _flipped(gzip.compress(image.layers[0])), "is damaged: it does not unpack"),
    "no gzip but for its start": (lambda _: b"\x1f\x8bnothing of the kind", "does not unpack with gzip"),
    "no zstd but for its start": (lambda _: b"\x28\xb5\x2f\xfd" + bytes(50), "does not unpack with zstd"),
    "plain, another": (lambda _: archives.layer("another"), "should be sha256:.* and is sha256:"),
    "packed twice": (lambda image: gzip.compress(gzip.compress(image.layers[0])), "should be sha256:"),
    "empty": (lambda _: b"", "should be sha256:"),
}


def _flipped(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("wrong", WRONG_LAYERS)
def test_a_layer_that_does_not_match_is_refused(wrong: str, tmp_path: Path) -> None:
    change, says = WRONG_LAYERS[wrong]
    image = packed("tar.gz", "tar")
    files = saved(image, APP, config="config.json", layers="{hex}")
    refused(write(tmp_path / "x.tar", files | {_layer(files): change(image)}), says)


def test_a_packed_digest_among_the_unpacked_is_refused(tmp_path: Path) -> None:
    """As `docker load` does: `invalid diffID`."""
    image = packed("tar.gz")
    wrong = Image(image.layers, image.packings, more={"rootfs": {"diff_ids": [digest(image.packed()[0][1])]}})
    refused(write(tmp_path / "x.tar", saved(wrong, APP)), "should be sha256:")


# Names that are none.

NO_NAMES = [
    "app@sha256:" + "a" * 64, "<none>:<none>", "<none>", "app:v1@sha256:" + "a" * 64, "<none>@<none>", "",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("others", [[], [APP]], ids=["alone", "beside a name"])
def test_what_is_no_name_is_shown_and_no_target(
    name: str, others: list[str], device: holdfast.Device, tmp_path: Path
) -> None:
    image = Image()
    for path in (
        write(tmp_path / "saved.tar", saved(image, name, *others)),
        write(tmp_path / "layout.tar", layout(named(image, name, *others), image)),
    ):
        (held,) = holdfast.Archive.open(path).images
        assert held.names == tuple(others)
        assert held.not_names == ((name,) if name else held.not_names)
        if not others:
            with pytest.raises(exceptions.ImageError, match="no tag"):
                device.containerz.deploy(path)
        device.containerz.deploy(path, retag="other:v9")
        assert listed(device) == {"other:v9"}
        device.containerz.remove_image("other:v9")


# One digest under several names.


@pytest.mark.parametrize("names", [[APP, "app:v2"], [APP, "app:v2", "lab:5000/team/app:v3"]], ids=len)
@pytest.mark.parametrize("nested", [False, True])
def test_names_of_one_digest_are_one_image(
    names: list[str], nested: bool, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    image = Image()
    inner = archives.index(archives.descriptor(image.manifest, archives.MANIFEST, platform=image.platform))
    tops = named(image, *names)
    if nested:
        tops = [archives.descriptor(inner, INDEX, annotations=top["annotations"]) for top in tops]
    proves(write(tmp_path / "x.tar", layout(tops, image, archives.blobs(inner))), image, names)


def test_one_image_may_have_an_item_for_each_name(proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    image = Image()
    files = edit(saved(image, APP), "manifest.json", lambda items: [*items, {**items[0], "RepoTags": ["app:v2"]}])
    proves(write(tmp_path / "x.tar", files), image, [APP, "app:v2"])


def test_one_digest_is_listed_twice_under_one_name(proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    image = Image()
    proves(write(tmp_path / "x.tar", layout(named(image, APP, APP), image)), image)


def test_one_image_with_its_layers_packed_in_two_ways(tmp_path: Path) -> None:
    """As `buildah manifest push --add-compression zstd` writes it."""
    one, other = packed("tar.gz"), packed("tar.zst")
    inner = archives.index(*named(one, APP), *named(other, APP))
    top = archives.descriptor(inner, INDEX, annotations={archives.CONTAINERD_NAME: APP})
    path = write(tmp_path / "x.tar", layout([top], one, other, archives.blobs(inner)))
    (held,) = holdfast.Archive.open(path).images
    assert set(held.digests) == {one.id, digest(one.manifest), digest(other.manifest), digest(inner)}


def test_a_tag_alone_is_no_name(proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    """As skopeo and the layout's specification write it."""
    image = Image()
    top = archives.descriptor(image.manifest, archives.MANIFEST, annotations={archives.REF_NAME: "v1"})
    opened = proves(write(tmp_path / "x.tar", layout([top], image)), image, [])
    assert opened.images[0].not_names == (":v1",)


# What is no image.

OTHERS: dict[str, Callable[[Image], tuple[dict[str, Any], Files]]] = {
    "a signature": lambda image: archives.signature(image.manifest),
    "an attestation": lambda image: archives.attestation(image.manifest),
    "a list of contents": lambda _: archives.artifact("application/spdx+json", artifactType="application/spdx+json"),
    "a chart": lambda _: archives.artifact("application/vnd.cncf.helm", config="application/vnd.cncf.helm.config.v1"),
    "a referrer": lambda image: archives.artifact(
        "text/plain", subject=archives.descriptor(image.manifest, archives.MANIFEST)
    ),
    "a cache of BuildKit": lambda _: archives.artifact(
        "application/vnd.buildkit.cache", config="application/vnd.buildkit.cacheconfig.v0"
    ),
    "a module": lambda _: archives.artifact("application/wasm", config="application/vnd.wasm.config.v0+json"),
}


def sent(state: Path, image: Image) -> Files:
    """What came to the device."""
    (path, *_) = state.rglob(f"{image.id.removeprefix('sha256:')}.tar")
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}  # type: ignore[union-attr]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("first", [True, False])
def test_what_is_no_image_is_left_out(
    other: str, first: bool, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    image = Image()
    top, content = OTHERS[other](image)
    tops = [top, *named(image, APP)]
    proves(write(tmp_path / "x.tar", layout(tops if first else tops[::-1], image, content)), image)


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_no_image_is_left_out_below_an_index(
    other: str, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    image = Image()
    below, content = OTHERS[other](image)
    inner = archives.index(archives.descriptor(image.manifest, archives.MANIFEST, platform=image.platform), below)
    top = archives.descriptor(inner, INDEX, annotations={archives.CONTAINERD_NAME: APP, archives.REF_NAME: "v1"})
    opened = proves(write(tmp_path / "x.tar", layout([top], image, content, archives.blobs(inner))), image)
    assert set(opened.images[0].digests) == {image.id, digest(image.manifest), digest(inner)}


@pytest.mark.parametrize("other", OTHERS)
def test_what_holds_no_image_is_refused(other: str, tmp_path: Path) -> None:
    top, content = OTHERS[other](Image())
    refused(write(tmp_path / "x.tar", layout([top], content)), "holds no image")


def test_a_new_name_leaves_signatures_alone(tmp_path: Path) -> None:
    image = Image()
    top, content = archives.signature(image.manifest)
    path = write(tmp_path / "x.tar", layout([top, *named(image, APP, "app:v2")], image, content))
    state = tmp_path / "state"
    with holdfast.emulator(state=state) as chassis, holdfast.connect(chassis.address, insecure=True) as device:
        device.containerz.deploy(path, retag="lab:5000/other:v9")
        came = sent(state, image)
    kept, renamed = json.loads(came["index.json"])["manifests"]
    assert kept == top
    assert renamed["annotations"] == {archives.CONTAINERD_NAME: "lab:5000/other:v9", archives.REF_NAME: "v9"}


def test_a_new_name_is_whole_where_the_old_one_was(tmp_path: Path) -> None:
    """Podman writes whole names, and reads a tag alone as a name."""
    image = Image()
    notes = {archives.REF_NAME: "localhost/app:v1"}
    path = write(
        tmp_path / "x.tar",
        layout([archives.descriptor(image.manifest, archives.MANIFEST, annotations=notes)], image),
    )
    state = tmp_path / "state"
    with holdfast.emulator(state=state) as chassis, holdfast.connect(chassis.address, insecure=True) as device:
        device.containerz.deploy(path, retag="lab:5000/other:v9")
        (only,) = json.loads(sent(state, image)["index.json"])["manifests"]
    assert only["annotations"][archives.REF_NAME] == "lab:5000/other:v9"


# Several platforms.

ARM = Image(architecture="arm64", variant="v8", layers=[archives.layer("arm")])
AMD = Image(layers=[archives.layer("amd")])


def _nested(*images: Image, present: Sequence[Image] = (AMD, ARM)) -> Files:
    below = (archives.descriptor(image.manifest, archives.MANIFEST, platform=image.platform) for image in images)
    inner = archives.index(*below)
    top = archives.descriptor(inner, INDEX, annotations={archives.CONTAINERD_NAME: APP, archives.REF_NAME: "v1"})
    return layout([top], archives.blobs(inner), *present)


def _both_saved(**places: str) -> Files:
    one, other = (saved(image, APP, **places) for image in (AMD, ARM))
    items = [*json.loads(one["manifest.json"]), *json.loads(other["manifest.json"])]
    return one | other | {"manifest.json": dump(items)}


def _indexes() -> Files:
    inner = [
        archives.index(archives.descriptor(image.manifest, archives.MANIFEST, platform=image.platform))
        for image in (AMD, ARM)
    ]
    outer = archives.index(*(archives.descriptor(each, INDEX) for each in inner))
    top = archives.descriptor(outer, INDEX, annotations={archives.CONTAINERD_NAME: APP})
    return layout([top], archives.blobs(*inner, outer), AMD, ARM)


SEVERAL: dict[str, Callable[[], Files]] = {
    "below an index": lambda: _nested(AMD, ARM),
    "at the top": lambda: layout(
        [top for image in (AMD, ARM) for top in named(image, APP, platform=image.platform)], AMD, ARM
    ),
    "at the top, unsaid": lambda: layout([top for image in (AMD, ARM) for top in named(image, APP)], AMD, ARM),
    "in manifest.json": _both_saved,
    "in both": lambda: _nested(AMD, ARM) | _both_saved(config="blobs/sha256/{hex}", layers="blobs/sha256/{hex}"),
    "in an index of indexes": _indexes,
}


@pytest.mark.parametrize("shape", SEVERAL)
@pytest.mark.parametrize(
    ("platform", "image"),
    [
        ("linux/amd64", AMD), ("linux/x86_64", AMD), ("linux/arm64", ARM), ("linux/arm64/v8", ARM), ("arm64", ARM),
        ("Linux/ARM64", ARM), ("linux/aarch64", ARM),
    ],
)  # fmt: skip
def test_a_platform_chooses_among_several(
    shape: str, platform: str, image: Image, device: holdfast.Device, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.tar", SEVERAL[shape]())
    assert {held.id for held in holdfast.Archive.open(path).images} == {AMD.id, ARM.id}
    for retag in (None, "other:v9"):
        assert device.containerz.deploy(path, platform=platform, retag=retag).has_id(image.id)
        device.containerz.expect_image(retag or APP, watch=0)
        (row,) = device.containerz.images()
        assert row.has_id(image.id)
        device.containerz.remove_image(f"{row.name}:{row.tag}")


@pytest.mark.parametrize("shape", SEVERAL)
def test_without_a_platform_several_are_named(shape: str, device: holdfast.Device, tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", SEVERAL[shape]())
    with pytest.raises(exceptions.ImageError, match=r"holds 2 images.*linux/amd64.*linux/arm64/v8") as caught:
        device.containerz.deploy(path)
    assert "platform" in str(caught.value.hint)
    with pytest.raises(exceptions.ImageError, match="no image for linux/s390x"):
        device.containerz.deploy(path, platform="linux/s390x")
    assert device.containerz.images() == ()


@pytest.mark.parametrize("whole", [AMD, ARM], ids=["amd64", "arm64"])
@pytest.mark.parametrize("left", ["nothing", "the manifest", "all but a layer"])
def test_of_several_platforms_the_only_whole_one_is_taken(
    whole: Image, left: str, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    other = ARM if whole is AMD else AMD
    of_other = other.blobs
    keep = {"nothing": 0, "the manifest": 1, "all but a layer": 2}[left]
    layers = [f"blobs/sha256/{archives.bare(stored)}" for _, stored in other.packed()]
    order = [*archives.blobs(other.manifest), *archives.blobs(other.config), *layers]
    part = {name: of_other[name] for name in order[:keep]}
    proves(write(tmp_path / "nested.tar", _nested(AMD, ARM, present=[whole]) | part), whole)
    tops = [top for image in (AMD, ARM) for top in named(image, APP, platform=image.platform)]
    proves(write(tmp_path / "top.tar", layout(tops, whole, part)), whole)


def test_if_no_platform_is_whole_the_missing_part_is_named(tmp_path: Path) -> None:
    manifests = archives.blobs(AMD.manifest, ARM.manifest)
    files = _nested(AMD, ARM, present=[]) | manifests
    refused(write(tmp_path / "x.tar", files), "is named and not there")


def test_an_image_without_a_platform_is_for_any(proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    """`crane append` without a base writes one."""
    image = Image(os="", architecture="")
    path = write(tmp_path / "x.tar", saved(image, APP))
    (held,) = holdfast.Archive.open(path).images
    assert held.platform == ""
    assert holdfast.Archive.open(path).image("linux/arm64").id == image.id


# JSON as Go and others write it.


def _nulls(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a list, a map or a string could be null."""
    yield at
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in pairs:
        yield from _nulls(value, (*at, key))


def _with_null(document: Any, at: tuple[Any, ...]) -> Any:
    if not at:
        return None
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = None
    return copy


# What cannot be missing: the digests that lead to the content, and what names the files.
NEEDED = {"manifest.json": r"|0|0\.Config|0\.Layers(\.\d)?", "index.json": r"|manifests(\.0(\.digest)?)?"}


@pytest.mark.parametrize("shape", ["saved", "layout"])
def test_null_is_what_is_empty(shape: str, tmp_path: Path) -> None:
    image = Image(more={"history": [{"created_by": "x"}]})
    files = saved(image, APP) if shape == "saved" else layout(named(image, APP, platform=image.platform), image)
    name = "manifest.json" if shape == "saved" else "index.json"
    document = json.loads(files[name])
    for at in _nulls(document):
        path = write(tmp_path / "x.tar", files | {name: dump(_with_null(document, at))})
        if re.fullmatch(NEEDED[name], ".".join(map(str, at))):
            refused(path, "holds no image|layers are named|names no Config|without a (path|digest)")
        else:
            assert holdfast.Archive.open(path).images[0].id == image.id


@pytest.mark.parametrize("stored", [saved, lambda image, name: layout(named(image, name), image)])
def test_null_is_what_is_empty_in_a_configuration(stored: Callable[[Image, str], Files], tmp_path: Path) -> None:
    image = Image(layers=[])
    document = json.loads(image.config)
    for at in _nulls(document):
        with_null = Image(layers=[], more=_with_null(document, at) or {})
        (held,) = holdfast.Archive.open(write(tmp_path / "x.tar", stored(with_null, APP))).images
        assert held.id == with_null.id


def test_null_in_the_lists_of_an_image_without_layers(proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    image = Image(layers=[], more={"rootfs": {"type": "layers", "diff_ids": None}, "config": None})
    files = edit(saved(image, APP), "manifest.json", lambda items: items[0].update(Layers=None))
    proves(write(tmp_path / "x.tar", files), image)


def without(item: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != field}


@pytest.mark.parametrize("field", ["Layers", "RepoTags"])
def test_a_list_may_be_left_out(field: str, tmp_path: Path) -> None:
    image = Image(layers=[])
    files = edit(saved(image, APP), "manifest.json", lambda items: [without(items[0], field)])
    assert holdfast.Archive.open(write(tmp_path / "x.tar", files)).images[0].id == image.id


@pytest.mark.parametrize("prefix", ["./", "././"])
@pytest.mark.parametrize("shape", SHAPES)
def test_names_may_begin_with_the_folder(
    shape: str, prefix: str, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    image = packed("tar.gz", "tar")
    proves(write(tmp_path / "x.tar", SHAPES[shape](image), prefix=prefix), image)


def test_names_inside_may_begin_with_the_folder(proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    image = Image()
    proves(write(tmp_path / "x.tar", saved(image, APP, config="./{hex}.json", layers="./{hex}/layer.tar")), image)


@pytest.mark.parametrize("megabytes", [5, 20])
def test_a_configuration_may_be_large(megabytes: int, proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    image = Image(more={"history": [{"created_by": "x" * 1000}] * (megabytes * 1000)})
    proves(write(tmp_path / "x.tar", saved(image, APP)), image)


@pytest.mark.parametrize("space", [b"\n", b" \r\n\t", b"\n" * 300], ids=["line", "all kinds", "many"])
@pytest.mark.parametrize("shape", SHAPES)
def test_json_may_begin_and_end_with_space(
    shape: str, space: bytes, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    image = Image()
    files = SHAPES[shape](image)
    spaced = {
        name: space + content + space
        for name, content in files.items()
        if name in ("manifest.json", "index.json", "oci-layout")
    }
    proves(write(tmp_path / "x.tar", files | spaced), image)


@pytest.mark.parametrize("content", [b"", b"\n", b"[", b"{}{}", b"hello", bytes(100)], ids=str)
@pytest.mark.parametrize("name", ["manifest.json", "index.json"])
def test_json_that_is_none_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    image = Image()
    files = saved(image, APP) if name == "manifest.json" else layout(named(image, APP), image)
    path = write(tmp_path / "x.tar", files | {name: content})
    with pytest.raises(exceptions.ImageError, match=name):
        holdfast.Archive.open(path)


# Dialects of tar.


def _unpacked(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _gnu_tar(path: Path, folder: Path, *options: str) -> Path:
    words = [option.replace("=snapshot", f"={folder.parent}/snapshot") for option in options]
    subprocess.run(["tar", "-C", str(folder), *words, "-cf", str(path), "."], check=True, capture_output=True)
    return path


DIALECTS: dict[str, list[str]] = {
    "v7": ["--format=v7"],
    "oldgnu": ["--format=oldgnu"],
    "gnu": ["--format=gnu"],
    "ustar": ["--format=ustar"],
    "posix": ["--format=posix"],
    "posix, a global header": ["--format=posix", "--pax-option=globexthdr.name=x,comment=of all"],
    "posix, globals of its own": ["--format=posix", "--pax-option=comment=of all"],
    "a label": ["--label=backup"],
    "posix, a label": ["--format=posix", "--label=backup"],
    "incremental": ["--format=gnu", "--listed-incremental=snapshot"],
    "posix, incremental": ["--format=posix", "--listed-incremental=snapshot"],
    "attributes": ["--format=posix", "--xattrs", "--acls"],
    "large blocks": ["--blocking-factor=200"],
    "long owner": ["--owner=somebody-with-a-name-that-is-far-too-long-for-ustar", "--format=posix"],
}


@pytest.mark.parametrize("shape", ["docker before 25", "OCI layout", "both"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_saved_image_may_be_packed_again(
    dialect: str, shape: str, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    image = packed("tar.gz", "tar")
    folder = _unpacked(tmp_path / "saved", SHAPES[shape](image))
    proves(_gnu_tar(tmp_path / "x.tar", folder, *DIALECTS[dialect]), image)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("shape", SHAPES)
def test_pythons_dialects(form: int, shape: str, proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    image = packed("tar.gz", "tar")
    proves(write(tmp_path / "x.tar", SHAPES[shape](image), form=form), image)


def test_what_git_archives(proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    image = Image()
    folder = _unpacked(tmp_path / "saved", saved(image, APP))
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x", "--no-verify"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    path = tmp_path / "x.tar"
    subprocess.run([*git, "archive", "-o", str(path), "HEAD"], check=True)
    assert b"pax_global_header" in path.read_bytes()
    proves(path, image)


def _with_hole() -> Image:
    """Its layer has a hole where it is stored so."""
    return Image(layers=[archives.tar({"zeros": bytes(1 << 20), "end": b"x"})])


def _holed(folder: Path, files: Files) -> Path:
    _unpacked(folder, files)
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size > 1 << 20:
            subprocess.run(["fallocate", "--dig-holes", str(path)], check=False, capture_output=True)
    return folder


def test_a_sparse_file_is_read(proves: Callable[..., holdfast.Archive], tmp_path: Path) -> None:
    image = _with_hole()
    folder = _holed(tmp_path / "saved", saved(image, APP))
    path = _gnu_tar(tmp_path / "x.tar", folder, "--sparse", "--hole-detection=raw", "--format=gnu")
    assert path.stat().st_size < 1 << 20
    proves(path, image)


@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0"])
def test_a_sparse_file_of_posix_is_named(version: str, tmp_path: Path) -> None:
    folder = _holed(tmp_path / "saved", saved(_with_hole(), APP))
    words = ["--sparse", "--hole-detection=raw", "--format=posix", f"--sparse-version={version}"]
    refused(_gnu_tar(tmp_path / "x.tar", folder, *words), "stored as a sparse file")


def test_volumes_are_named(tmp_path: Path) -> None:
    folder = _unpacked(tmp_path / "saved", saved(Image(layers=[archives.tar({"x": bytes(range(256)) * 400})]), APP))
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    words = ["tar", "-C", str(folder), "--multi-volume", "--tape-length=60", "-cf", str(one), "-f", str(two), "."]
    subprocess.run(words, check=True, capture_output=True)
    refused(one, "cut short|volume")
    refused(two, "is one of several volumes")


@pytest.mark.parametrize("kind", ["a link out", "a device", "an absolute name"])
def test_a_file_system_is_no_attack(kind: str, tmp_path: Path) -> None:
    """What `docker export` writes."""
    odd = tarfile.TarInfo("etc/mtab")
    odd.type, odd.linkname = tarfile.SYMTYPE, "/proc/mounts"
    if kind == "a device":
        odd = tarfile.TarInfo("dev/console")
        odd.type = tarfile.CHRTYPE
    elif kind == "an absolute name":
        odd = tarfile.TarInfo("/etc/passwd")
    with tarfile.open(tmp_path / "x.tar", "w") as made:
        made.addfile(odd)
        made.addfile(tarfile.TarInfo("bin/sh"))
    refused(tmp_path / "x.tar", "neither manifest.json nor index.json")


# Packed as a whole.


@pytest.mark.parametrize("packing", archives.PACKINGS)
@pytest.mark.parametrize("shape", ["docker before 25", "OCI layout", "both"])
def test_an_archive_may_be_packed(
    packing: str, shape: str, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    image = packed("tar.gz", "tar")
    opened = proves(write(tmp_path / f"x.{packing}", SHAPES[shape](image)), image)
    names = {"tar": "none", "tar.gz": "gzip", "tar.bz2": "bzip2", "tar.xz": "xz", "tar.zst": "zstd"}
    assert opened.compression == names[packing]
    assert opened.unpacked % 512 == 0


def _members(content: bytes, pack: Callable[[bytes], bytes]) -> bytes:
    return b"".join(pack(content[at : at + 5000]) for at in range(0, len(content), 5000))


@pytest.mark.parametrize("packing", [each for each in archives.PACKINGS if each != "tar"])
def test_an_archive_may_have_several_members(
    packing: str, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    """As pigz, pbzip2, pixz and pzstd write them."""
    image = Image()
    path = tmp_path / "x"
    path.write_bytes(_members(archives.tar(saved(image, APP)), archives.PACKINGS[packing]))
    proves(path, image)


@pytest.mark.parametrize("packing", [each for each in archives.PACKINGS if each != "tar"])
def test_a_packed_archive_that_is_cut_short_is_refused(packing: str, tmp_path: Path) -> None:
    content = write(tmp_path / f"x.{packing}", saved(Image(), APP)).read_bytes()
    for length in (7, len(content) // 2, len(content) - 20):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(exceptions.ImageError, match=r"cut short|damaged|no tar archive") as caught:
            holdfast.Archive.open(tmp_path / "cut")
        assert "do not load" not in str(caught.value)


def test_the_configuration_is_the_image_whatever_it_is_called(
    proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    image = Image()
    proves(write(tmp_path / "x.tar", saved(image, APP, config="of/the image/{hex}")), image)


@pytest.mark.parametrize("packing", ["tar.gz", "tar.xz"])
@pytest.mark.parametrize("zeros", [4, 512, 10240])
def test_zeros_may_follow_what_is_packed(
    packing: str, zeros: int, proves: Callable[..., holdfast.Archive], tmp_path: Path
) -> None:
    """As blocks of a fixed size leave them."""
    image = Image()
    path = write(tmp_path / f"x.{packing}", saved(image, APP))
    path.write_bytes(path.read_bytes() + bytes(zeros))
    proves(path, image)


def test_zeros_may_follow_a_packed_layer(tmp_path: Path) -> None:
    image = packed("tar.gz")
    files = saved(image, APP)
    path = write(tmp_path / "x.tar", files | {_layer(files): files[_layer(files)] + bytes(512)})
    assert holdfast.Archive.open(path).images[0].id == image.id


@pytest.mark.parametrize("packing", [each for each in archives.PACKINGS if each != "tar"])
def test_junk_after_what_is_packed_is_refused(packing: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"x.{packing}", saved(Image(), APP))
    path.write_bytes(path.read_bytes() + b"junk" * 100)
    refused(path, "damaged")
