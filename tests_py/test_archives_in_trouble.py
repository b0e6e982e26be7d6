"""Archives that are whole, or are not, in ways that other tools pass over or name poorly: each told for what it is."""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_archives import APP, SHAPES, listed, packed, refused

import holdfast
from holdfast import exceptions
from holdfast.cli import main
from holdfast.results import ArchiveImage

import archives
from archives import CONTAINERD_NAME, INDEX, MANIFEST, Files, Image, descriptor, edit, layout, named, saved, write

BLOCK = 512


def ends(content: bytes) -> int:
    """Where the last entry of a tar ends."""
    with tarfile.open(fileobj=io.BytesIO(content)) as made:
        last = made.getmembers()[-1]
    return last.offset_data + -(-last.size // BLOCK) * BLOCK


def borders(content: bytes) -> list[int]:
    """Where the entries begin, but for the first."""
    with tarfile.open(fileobj=io.BytesIO(content)) as made:
        return [entry.offset for entry in made.getmembers()[1:]]


# Absolute names, as `tar -P` writes them.


@pytest.mark.parametrize("prefix", ["/", "//", "/./", "./"])
@pytest.mark.parametrize("shape", SHAPES)
def test_absolute_names_are_those_below_the_root(
    shape: str, prefix: str, device: holdfast.Device, tmp_path: Path
) -> None:
    image = packed("tar.gz", "tar")
    path = write(tmp_path / "x.tar", SHAPES[shape](image), prefix=prefix)
    for retag in (None, "other:v9"):
        assert device.containerz.deploy(path, retag=retag).has_id(image.id)
        assert listed(device) == {retag or APP}
        device.containerz.remove_image(retag or APP)


def test_names_inside_may_be_absolute_too(tmp_path: Path) -> None:
    image = Image()
    files = saved(image, APP, config="/{hex}.json", layers="/{hex}/layer.tar")
    assert holdfast.Archive.open(write(tmp_path / "x.tar", files)).images[0].id == image.id


def with_link(kind: bytes, target: str, *, prefix: str = "") -> tuple[bytes, Image]:
    """A docker-archive whose first layer is stored as a link; `target` may name `{layer}`."""
    image = Image()
    files = saved(image, APP, layers="{hex}/layer.tar")
    first = next(name for name in files if name.endswith("/layer.tar"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, content in files.items():
            info = tarfile.TarInfo(prefix + (name if name != first else "shared.tar"))
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo(prefix + first)
        link.type, link.linkname = kind, target
        made.addfile(link)
    return buffer.getvalue(), image


@pytest.mark.parametrize(
    ("kind", "target", "prefix"),
    [
        (tarfile.SYMTYPE, "../shared.tar", ""), (tarfile.SYMTYPE, "../shared.tar", "/"),
        (tarfile.LNKTYPE, "shared.tar", ""), (tarfile.LNKTYPE, "./shared.tar", ""),
        (tarfile.LNKTYPE, "/shared.tar", "/"),
    ],
)  # fmt: skip
def test_links_inside_are_followed(kind: bytes, target: str, prefix: str, tmp_path: Path) -> None:
    content, image = with_link(kind, target, prefix=prefix)
    (tmp_path / "x.tar").write_bytes(content)
    assert holdfast.Archive.open(tmp_path / "x.tar").images[0].id == image.id


def test_an_absolute_symbolic_link_is_no_attack(tmp_path: Path) -> None:
    """As a build that keeps its layers in a cache links to them."""
    (tmp_path / "x.tar").write_bytes(with_link(tarfile.SYMTYPE, "/var/cache/layer.tar")[0])
    refused(tmp_path / "x.tar", r"leads to \"/var/cache/layer.tar\", outside of the archive\n.*tar --dereference")


@pytest.mark.parametrize("name", ["../manifest.json", "a/../../b", "/../b"])
def test_only_a_way_up_is_an_accusation(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", saved(Image(), APP) | {name: b"x"})
    with pytest.raises(exceptions.ImageError, match=r"leaves the archive's folder\n.*do not load"):
        holdfast.Archive.open(path)


def test_a_link_up_is_an_accusation(tmp_path: Path) -> None:
    for kind, target in ((tarfile.SYMTYPE, "../../etc/shadow"), (tarfile.LNKTYPE, "/../etc/shadow")):
        (tmp_path / "x.tar").write_bytes(with_link(kind, target)[0])
        with pytest.raises(exceptions.ImageError, match=r"leads out of the archive's folder\n.*do not load"):
            holdfast.Archive.open(tmp_path / "x.tar")


# Without the two blocks of zeros at the end.


@pytest.mark.parametrize("packing", ["tar", "tar.gz"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_end_mark_may_be_missing(shape: str, packing: str, device: holdfast.Device, tmp_path: Path) -> None:
    image = packed("tar.gz", "tar")
    content = archives.tar(SHAPES[shape](image))
    path = tmp_path / f"x.{packing}"
    path.write_bytes(archives.PACKINGS[packing](content[: ends(content)]))
    opened = holdfast.Archive.open(path)
    assert [each for each in opened.notes if "end mark is missing" in each]
    for retag in (None, "other:v9"):
        assert device.containerz.deploy(path, retag=retag).has_id(image.id)
        assert listed(device) == {retag or APP}
        device.containerz.remove_image(retag or APP)
    assert "note      its end mark is missing" in CliRunner().invoke(main, ["image", "show", str(path)]).output


@pytest.mark.parametrize("shape", SHAPES)
def test_a_whole_archive_has_no_note(shape: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", SHAPES[shape](Image()))
    assert holdfast.Archive.open(path).notes == ()
    assert "note" not in CliRunner().invoke(main, ["image", "show", str(path)]).output


def _platforms() -> Files:
    images = (Image(layers=[archives.layer("amd")]), Image(architecture="arm64", layers=[archives.layer("arm")]))
    below = (descriptor(image.manifest, MANIFEST, platform=image.platform) for image in images)
    inner = archives.index(*below)
    first = saved(images[0], APP, config="blobs/sha256/{hex}", layers="blobs/sha256/{hex}")
    top = descriptor(inner, INDEX, annotations={CONTAINERD_NAME: APP})
    return {"manifest.json": first["manifest.json"]} | layout([top], archives.blobs(inner), *images)


CUT: dict[str, Callable[[], Files]] = {
    **{shape: lambda shape=shape: SHAPES[shape](packed("tar.gz", "tar")) for shape in SHAPES},  # type: ignore[misc]
    "two platforms": _platforms,
}


@pytest.mark.parametrize("shape", CUT)
@pytest.mark.parametrize("first", ["its lists", "its content"])
def test_an_archive_that_is_cut_is_refused_wherever_it_was(shape: str, first: str, tmp_path: Path) -> None:
    """Between two entries, where no reader of tar sees it, and within one. What is taken has lost no image."""
    path, files = tmp_path / "x.tar", CUT[shape]()
    lists = {name: files.pop(name) for name in ("oci-layout", "index.json", "manifest.json") if name in files}
    content = archives.tar(lists | files if first == "its lists" else files | lists)
    path.write_bytes(content)
    whole = holdfast.Archive.open(path).images
    for at in borders(content):
        path.write_bytes(content[: at - BLOCK // 2])
        refused(path, "cut short|damaged near byte|no tar archive")
        path.write_bytes(content[:at])
        held, says = _opened(path)
        if held is None:
            assert "cut short" in says
            continue
        assert {image.id for image in held} == {image.id for image in whole}
        assert [image.names for image in held] == [image.names for image in whole]
        assert {"manifest.json", "index.json"} <= lists.keys()


def _opened(path: Path) -> tuple[tuple[ArchiveImage, ...] | None, str]:
    """The images, or what is said instead."""
    try:
        return holdfast.Archive.open(path).images, ""
    except exceptions.ImageError as error:
        return None, str(error)


# Indexes in indexes.


def nested(depth: int) -> Files:
    """An image so many indexes deep."""
    image, found = Image(), Files()
    inner = archives.index(descriptor(image.manifest, MANIFEST, platform=image.platform))
    for _ in range(depth - 1):
        found |= archives.blobs(inner)
        inner = archives.index(descriptor(inner, INDEX))
    top = descriptor(inner, INDEX, annotations={CONTAINERD_NAME: APP})
    return layout([top], archives.blobs(inner), found, image)


@pytest.mark.parametrize("depth", [1, 4, 6, 8])
def test_indexes_may_be_nested(depth: int, tmp_path: Path) -> None:
    opened = holdfast.Archive.open(write(tmp_path / "x.tar", nested(depth)))
    assert opened.images[0].names == (APP,)
    assert len(opened.images[0].digests) == 2 + depth


@pytest.mark.parametrize("depth", [9, 40])
def test_indexes_that_are_nested_deeper_are_refused_in_words(depth: int, tmp_path: Path) -> None:
    refused(write(tmp_path / "x.tar", nested(depth)), r"nested more than 8 deep\n.*skopeo copy")


# What names nothing.


def _without_config(document: Any) -> None:
    del document[0]["Config"]


@pytest.mark.parametrize("of", [_without_config, lambda items: items[0].update(Config=None)], ids=["absent", "null"])
def test_a_list_without_a_configuration_says_so(of: Callable[[Any], None], tmp_path: Path) -> None:
    refused(write(tmp_path / "x.tar", edit(saved(Image(), APP), "manifest.json", of)), "manifest.json names no Config")


def test_a_list_with_a_layer_without_a_name_says_so(tmp_path: Path) -> None:
    files = edit(saved(Image(), APP), "manifest.json", lambda items: items[0]["Layers"].insert(1, None))
    refused(write(tmp_path / "x.tar", files), "manifest.json names a layer without a path")


@pytest.mark.parametrize("part", ["config", "layers"])
def test_a_manifest_without_a_digest_says_so(part: str, tmp_path: Path) -> None:
    image = Image()
    whole = {"manifest": image.manifest}

    def change(document: Any) -> None:
        (document[part] if part == "config" else document[part][0])["digest"] = None

    manifest = edit(whole, "manifest", change)["manifest"]
    top = descriptor(manifest, MANIFEST, annotations={CONTAINERD_NAME: APP})
    path = write(tmp_path / "x.tar", layout([top], image, archives.blobs(manifest)))
    refused(path, "manifest sha256:[0-9a-f]{64} names .* without a digest")


def test_an_index_without_a_digest_says_so(tmp_path: Path) -> None:
    image = Image()
    files = edit(layout(named(image, APP), image), "index.json", lambda top: top["manifests"][0].update(digest=None))
    refused(write(tmp_path / "x.tar", files), "an index names a manifest without a digest")


@pytest.mark.parametrize("name", ["manifest.json", "index.json"])
def test_a_byte_order_mark_is_named(name: str, tmp_path: Path) -> None:
    image = Image()
    files = saved(image, APP) if name == "manifest.json" else layout(named(image, APP), image)
    path = write(tmp_path / "x.tar", files | {name: b"\xef\xbb\xbf" + files[name]})
    refused(path, f"{name} begins with a byte order mark")


def test_an_image_without_names_needs_none(tmp_path: Path) -> None:
    files = edit(saved(Image()), "manifest.json", lambda items: items[0].update(RepoTags=None))
    assert holdfast.Archive.open(write(tmp_path / "x.tar", files)).images[0].names == ()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_may_be_longer_than_255(form: int, tmp_path: Path) -> None:
    image, long = Image(), "/".join(["folder-with-a-long-name"] * 20)
    files = saved(image, APP, config=f"{long}/{{hex}}.json", layers=f"{long}/{{hex}}/layer.tar")
    assert holdfast.Archive.open(write(tmp_path / "x.tar", files, form=form)).images[0].id == image.id


# Packed in a way that takes more memory to unpack than is given.


def _zstd(content: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("needs zstd: apt-get install zstd")
    return subprocess.run(["zstd", "-q", "-c", "--long=30"], input=content, capture_output=True, check=True).stdout


def _xz(content: bytes) -> bytes:
    if shutil.which("xz") is None:
        pytest.skip("needs xz: apt-get install xz-utils")
    words = ["xz", "-c", "--lzma2=preset=0,dict=512MiB"]
    return subprocess.run(words, input=content, capture_output=True, check=True).stdout


LARGE = {"zstd": _zstd, "xz": _xz}


@pytest.mark.parametrize("packing", LARGE)
def test_a_large_window_is_no_damage(packing: str, tmp_path: Path) -> None:
    whole = archives.tar(saved(Image(), APP))
    (tmp_path / "x").write_bytes(LARGE[packing](whole))
    says = rf"is compressed with {packing}.* memory to unpack(?s:.*)unpack it first: `{packing} -d"
    refused(tmp_path / "x", says)


def test_a_large_window_in_the_middle_is_no_damage(tmp_path: Path) -> None:
    """Frames of a stream may differ."""
    whole = archives.tar(saved(Image(), APP))
    (tmp_path / "x").write_bytes(archives.PACKINGS["tar.zst"](whole[:5120]) + _zstd(whole[5120:]))
    refused(tmp_path / "x", r"is compressed with zstd.* memory to unpack(?s:.*)unpack it first: `zstd -d")


@pytest.mark.parametrize("packing", LARGE)
def test_a_layer_with_a_large_window_is_no_damage(packing: str, tmp_path: Path) -> None:
    image = Image(layers=[archives.layer("x")])
    files = saved(image, APP, layers="layer")
    path = write(tmp_path / "x.tar", files | {"layer": LARGE[packing](image.layers[0])})
    refused(path, rf"the layer layer is compressed with {packing}.* memory to unpack(?s:.*)--dest-compress-format gzip")


def test_members_of_gzip_may_be_many(tmp_path: Path) -> None:
    image = Image()
    whole = archives.tar(saved(image, APP))
    members = b"".join(gzip.compress(whole[at : at + BLOCK]) for at in range(0, len(whole), BLOCK))
    (tmp_path / "x").write_bytes(members)
    assert holdfast.Archive.open(tmp_path / "x").images[0].id == image.id


# What is whole, and is refused for another reason.


def oci(image: Image, layers: list[tuple[bytes, str]], *leave_out: bytes) -> Files:
    """An OCI layout of an image with these blobs for its layers, but for those that are left out."""
    described = [descriptor(blob, kind) for blob, kind in layers]
    config = descriptor(image.config, archives.CONFIG)
    manifest = archives.dump({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described})
    top = descriptor(manifest, MANIFEST, annotations={CONTAINERD_NAME: APP})
    there = [blob for blob, _ in layers if blob not in leave_out]
    return layout([top], archives.blobs(image.config, manifest, *there))


LAYER = f"{archives.OCI}layer.v1.tar"


def test_an_encrypted_layer_is_not_called_damaged(tmp_path: Path) -> None:
    image = Image()
    files = oci(image, [(b"sealed" * 100, f"{LAYER}+gzip+encrypted"), (image.layers[1], LAYER)])
    refused(write(tmp_path / "x.tar", files), r"the layer sha256:[0-9a-f]{64} is encrypted\n.*--decryption-key")


@pytest.mark.parametrize(
    "kind",
    [
        f"{archives.OCI}layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)
def test_a_layer_that_was_left_out_on_purpose_is_not_called_missing(kind: str, tmp_path: Path) -> None:
    image = Image()
    files = oci(image, [(image.layers[0], kind), (image.layers[1], LAYER)], image.layers[0])
    refused(write(tmp_path / "x.tar", files), "is not in it, for its owner alone may give it on")


# Files that are no archives, by how they begin, and what is said of them.
STRANGERS = {
    "lz4": (bytes.fromhex("04224d18"), r"compressed with lz4\n.*lz4 -d"),
    "lzma": (lzma.compress(b"x" * 600, format=lzma.FORMAT_ALONE), r"compressed with lzma\n.*xz -d --format=lzma"),
    "compress": (bytes.fromhex("1f9d90"), r"compressed with compress\n.*gzip -d"),
    "zip": (b"PK\x03\x04", r"a zip file\n.*unpack it first"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n", r"Git LFS.*\n.*git lfs pull"),
    "a page": (b"\n<!DOCTYPE html><html><title>Log in</title>", r"a web page.*\n.*fetch it again"),
    "a redirection": (b"\xff\xfem\0a\0n\0i\0f\0", r"as text.*\n.*docker save -o"),
    "encrypted": (b"-----BEGIN PGP MESSAGE-----\n", r"encrypted with PGP\n.*gpg -d"),
    "a program": (b"\x7fELF\x02", r"a program.*\n.*docker save -o"),
    "text": (b"hello", "is no tar archive"),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_what_is_no_archive_is_named(kind: str, tmp_path: Path) -> None:
    start, says = STRANGERS[kind]
    (tmp_path / "x").write_bytes(start + b"x" * 600)
    refused(tmp_path / "x", f"(is|was written) .*{says}" if kind != "text" else says)


# What is written as tools of today write it, and is right.


def _chunked(content: bytes) -> bytes:
    """Several frames of zstd, and what they hold in frames that are passed over (composefs-rs#383)."""
    half = len(content) // 2
    skipped = b"".join(struct.pack("<II", 0x184D2A50, len(text)) + text for text in (b'{"version":1}', bytes(72)))
    return archives.PACKINGS["tar.zst"](content[:half]) + archives.PACKINGS["tar.zst"](content[half:]) + skipped


def _stargz(content: bytes) -> bytes:
    """Several members of gzip, and an empty one that says where their list is."""
    footer = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H", 26) + b"SG" + struct.pack("<H", 22)
    footer += b"%016x" % 1000 + b"STARGZ" + b"\x01\0\0\xff\xff" + bytes(8)
    half = len(content) // 2
    return gzip.compress(content[:half]) + gzip.compress(content[half:]) + footer


@pytest.mark.parametrize(("pack", "kind"), [(_chunked, "+zstd"), (_stargz, "+gzip")], ids=["chunked", "stargz"])
def test_layers_that_are_made_to_be_read_in_part(pack: Callable[[bytes], bytes], kind: str, tmp_path: Path) -> None:
    image = Image()
    files = oci(image, [(pack(image.layers[0]), f"{LAYER}{kind}"), (image.layers[1], LAYER)])
    assert holdfast.Archive.open(write(tmp_path / "x.tar", files)).images[0].id == image.id


def _no_types(document: Any) -> None:
    document.pop("mediaType")
    document["manifests"][0].pop("mediaType")


@pytest.mark.parametrize("name", [APP, None], ids=["named", "without annotations"])
def test_types_and_names_may_be_left_out_of_an_index(name: str | None, tmp_path: Path) -> None:
    """apple/container#330 (podman), apple/containerization#369 (nix2container)."""
    image = Image()
    top = named(image, name) if name else [descriptor(image.manifest, MANIFEST)]
    opened = holdfast.Archive.open(write(tmp_path / "x.tar", edit(layout(top, image), "index.json", _no_types)))
    assert (opened.images[0].id, opened.images[0].names) == (image.id, (name,) if name else ())


def test_docker_types_in_a_layout_are_images(tmp_path: Path) -> None:
    """dagger/dagger#4876: a list of Docker's in an OCI layout."""
    image = Image()
    docker = "application/vnd.docker."
    layers = [descriptor(blob, f"{docker}image.rootfs.diff.tar") for blob in image.layers]
    config = descriptor(image.config, f"{docker}container.image.v1+json")
    kind = f"{docker}distribution.manifest.v2+json"
    manifest = archives.dump({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers})
    several = archives.index(descriptor(manifest, kind, platform=image.platform))
    top = descriptor(several, f"{docker}distribution.manifest.list.v2+json", annotations={CONTAINERD_NAME: APP})
    files = layout([top], archives.blobs(image.config, manifest, several, *image.layers))
    assert holdfast.Archive.open(write(tmp_path / "x.tar", files)).images[0].id == image.id


def test_a_file_may_have_a_colon_in_its_name(tmp_path: Path) -> None:
    """podman#15963."""
    path = write(tmp_path / "x.tar", saved(Image(), APP)).rename(tmp_path / "app:v1.tar")
    assert holdfast.Archive.open(path).images[0].names == (APP,)


APPLE_DOUBLE = bytes.fromhex("00051607 00020000") + b"Mac OS X        "


def beside(name: str) -> str:
    """What macOS calls the file of a file's attributes."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/._{last}" if folder else f"._{last}"


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_mac_adds_is_passed_over(shape: str, device: holdfast.Device, tmp_path: Path) -> None:
    """Its tar puts a file of attributes before each, and Finder one of its own into each folder."""
    image, files = packed("tar.gz", "tar"), Files()
    for name, content in SHAPES[shape](image).items():
        files |= {beside(name): APPLE_DOUBLE, name: content}
        files[f"{name.rpartition('/')[0]}/.DS_Store".lstrip("/")] = b"Bud1"
    path = write(tmp_path / "x.tar", files)
    for retag in (None, "other:v9"):
        assert device.containerz.deploy(path, retag=retag).has_id(image.id)
        assert listed(device) == {retag or APP}
        device.containerz.remove_image(retag or APP)


@pytest.mark.parametrize("shape", ["rules_oci", "OCI layout", "both"])
def test_a_blob_that_is_called_by_its_digest_must_have_it(shape: str, tmp_path: Path) -> None:
    image = Image()
    files = SHAPES[shape](image)
    name = next(name for name in files if archives.bare(image.layers[0]) in name)
    changed = archives.layer("changed")
    refused(write(tmp_path / "x.tar", files | {name: changed}), "should be sha256|has another digest")


@pytest.mark.parametrize("kind", ["application/octet-stream", "application/json", "text/html"])
def test_a_configuration_may_have_the_type_that_a_registry_gave_it(
    kind: str, device: holdfast.Device, tmp_path: Path
) -> None:
    """distribution#1621: engines take these for what they are."""
    image = Image()

    def change(document: Any) -> None:
        document["config"]["mediaType"] = kind

    manifest = edit({"manifest": image.manifest}, "manifest", change)["manifest"]
    top = descriptor(manifest, MANIFEST, annotations={CONTAINERD_NAME: APP})
    path = write(tmp_path / "x.tar", layout([top], image, archives.blobs(manifest)))
    assert device.containerz.deploy(path).has_id(image.id)


def test_an_artifact_is_no_image_whatever_its_configuration_is_called(tmp_path: Path) -> None:
    top, content = archives.artifact("application/vnd.cncf.helm.chart", config="application/octet-stream")
    refused(write(tmp_path / "x.tar", layout([top], content)), "holds no image")


# What was packed one folder too high, or not at all.


@pytest.mark.parametrize("shape", ["docker before 25", "OCI layout"])
def test_an_archive_in_a_folder_says_how_to_pack_it(shape: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", SHAPES[shape](Image()), prefix="out/image/")
    refused(path, r"lies in its folder \"out/image\"\n.*tar -C out/image -cf NEW .")


@pytest.mark.parametrize("shape", ["docker before 25", "OCI layout"])
def test_a_folder_of_an_image_says_how_to_pack_it(shape: str, tmp_path: Path) -> None:
    for name, content in SHAPES[shape](Image()).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    refused(tmp_path, r"is a folder, not an archive\n.*pack what is in it: `tar -C .* -cf FILE .`")


@pytest.mark.parametrize("packed", [True, False])
def test_what_skopeo_writes_to_a_folder_is_named(packed: bool, tmp_path: Path) -> None:
    image = Image()
    files = {"version": b"Directory Transport Version: 1.1\n", "manifest.json": image.manifest}
    files |= {archives.bare(each): each for each in (image.config, *image.layers)}
    if packed:
        refused(write(tmp_path / "x.tar", files), r"writes to dir:.*\n.*skopeo copy dir:FOLDER docker-archive:")
        return
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    refused(tmp_path, r"is a folder, not an archive\n.*skopeo copy dir:FOLDER docker-archive:")


def test_an_archive_of_a_docker_that_knew_no_list_is_named(tmp_path: Path) -> None:
    files = saved(Image(), APP)
    del files["manifest.json"]
    path = write(tmp_path / "x.tar", files | {"repositories": archives.dump({"app": {"v1": "00"}})})
    refused(path, r"repositories, and no manifest.json: .*older than 1.10 wrote it\n.*`docker load`")


# Names that no engine takes, and some that look so.


@pytest.mark.parametrize("name", ["[2001:db8::1]:5000/team/app:v1", "LAB:5000/app:v1", "a/b-c_d__e.f---g:v1"])
def test_a_name_may_be_unusual(name: str, device: holdfast.Device, tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", saved(Image(), name))
    assert holdfast.Archive.open(path).images[0].names == (name,)
    device.containerz.deploy(path)
    assert name in device.containerz.images()
    device.containerz.remove_image(name)


@pytest.mark.parametrize("name", ["App:v1", "team/App:v1", "a..b:v1", "app:-v1", "app:.v1"])
def test_what_no_engine_takes_is_no_name(name: str, device: holdfast.Device, tmp_path: Path) -> None:
    """The reference server answers UNKNOWN, invalid reference format, when all of it was sent."""
    opened = holdfast.Archive.open(write(tmp_path / "x.tar", saved(Image(), name)))
    assert opened.images[0].names == ()
    assert name in opened.images[0].not_names
    path = write(tmp_path / "good.tar", saved(Image(), APP))
    with pytest.raises(exceptions.InvalidArgumentError, match=r"capital letters|no image name has|no tag has"):
        device.containerz.deploy(path, retag=name)
