"""`nox -s archives`: docs/archives.md stays true: what people's tools write opens, deploys and takes a name.

`-- write` writes the page anew. What skopeo or `docker load` takes and holdfast does not is an error, and so is a row
that is no longer as the page says. A tool that is not installed is skipped, in words. Versions of skopeo and Docker
differ in what they take: where one is not of the page's version, its column is not held against the page, in words too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import holdfast
from holdfast import exceptions

import archives
from archives import INDEX, MANIFEST, Image, descriptor, layout, named, saved, write
from test_docker import Docker

PAGE = Path(__file__).parent.parent / "docs" / "archives.md"
APP, RETAGGED = "app:v1", "lab.example/other:v9"
HEAD = """# Image archives

*Written by `tests_py/archive_tools.py`: what was made here, and with what; `nox -s archives` holds it true.*

The yardstick is what `skopeo copy` (to `dir:`) and `docker load` take: holdfast takes it too, and refuses what is
damaged. Each archive is opened, deployed to an emulated device, and deployed again under another name. "Wants a name"
is an archive whose image has no tag: `retag` gives it one. Of several platforms `platform` (`--dut-platform`) chooses.
Skopeo and Docker are those of the last column.

"""
TAR = (
    "", "--format=v7", "--format=ustar", "--format=posix", "--format=posix --pax-option=globexthdr.name=x,comment=y",
    "--sparse", "--label=backup", "--listed-incremental=SNAPSHOT",
)  # fmt: skip
COLUMNS = ("written by", "format", "opens", "deploys", "retags", "skopeo", "docker load", "with")
# What others say of an archive: the column, who says it, and the row that shows their version on the page.
JUDGES = (("skopeo", "skopeo", "`skopeo copy docker-archive:`"), ("docker load", "dockerd", "`docker save`"))


@dataclass(frozen=True)
class Writer:
    """Who writes an archive. `tools` are what it needs; the first one's version is shown."""

    name: str
    form: str
    tools: tuple[str, ...]
    make: Callable[[Path, Path], None]
    platform: str | None = None


def say(*words: str | Path) -> str:
    """Run a tool, and return what it prints."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


class Tools:
    """The tools, with folders of their own, and an image's layer to begin with."""

    def __init__(self, folder: Path, docker: Docker | None) -> None:
        self.folder = folder
        self.docker = docker
        self.layer = folder / "layer.tar"
        self.layer.write_bytes(archives.layer("made by a tool"))
        self.base = write(folder / "base.tar", saved(Image(), APP))

    def docker_save(self, _place: Path, to: Path) -> None:
        """`docker import` and `docker save`."""
        assert self.docker is not None
        self.docker.run("import", str(self.layer), APP)
        self.docker.run("save", "-o", str(to), APP)
        self.docker.run("rmi", APP)

    def packed(self, *words: str) -> Callable[[Path, Path], None]:
        """A `docker save` that went through another tool."""

        def make(place: Path, to: Path) -> None:
            self.docker_save(place, place / "saved.tar")
            with (place / "saved.tar").open("rb") as plain, to.open("wb") as out:
                subprocess.run(words, stdin=plain, stdout=out, check=True)

        return make

    def tarred(self, *words: str) -> Callable[[Path, Path], None]:
        """A `docker save` that was unpacked and packed again."""

        def make(place: Path, to: Path) -> None:
            self._unpacked(place)
            options = (word.replace("SNAPSHOT", str(place / "snapshot")) for word in words)
            say("tar", "-C", place / "files", *options, "-cf", to, ".")

        return make

    def _unpacked(self, place: Path) -> None:
        self.docker_save(place, place / "saved.tar")
        (place / "files").mkdir()
        say("tar", "-C", place / "files", "-xf", place / "saved.tar")

    def git(self, place: Path, to: Path) -> None:
        """`git archive` of an unpacked `docker save`."""
        self._unpacked(place)
        git = ("git", "-C", place / "files", "-c", "user.name=a", "-c", "user.email=a@b.example")
        say(*git, "init", "-q")
        say(*git, "add", "-A")
        say(*git, "commit", "-q", "--no-verify", "-m", "saved")
        say(*git, "archive", "-o", to, "HEAD")

    def skopeo(self, kind: str) -> Callable[[Path, Path], None]:
        """From a docker-archive to another."""
        return lambda _, to: _ignore(
            say("skopeo", "--insecure-policy", "copy", f"docker-archive:{self.base}", f"{kind}:{to}:{APP}")
        )

    def podman(self, form: str) -> Callable[[Path, Path], None]:
        """`podman import` and `podman save`."""

        def make(place: Path, to: Path) -> None:
            podman = ("podman", *_storage(place))
            say(*podman, "import", "-q", self.layer, APP)
            say(*podman, "save", "-q", "--format", form, "-o", to, APP)

        return make

    def buildah(self, kind: str) -> Callable[[Path, Path], None]:
        """`buildah from scratch`, with a file, and `buildah push`."""

        def make(place: Path, to: Path) -> None:
            buildah = ("buildah", *_storage(place))
            container = say(*buildah, "from", "scratch").strip()
            say(*buildah, "copy", "-q", container, self.layer, "/layer.tar")
            say(*buildah, "commit", "-q", container, APP)
            say(*buildah, "push", "-q", APP, f"{kind}:{to}:{APP}")

        return make

    def umoci(self, place: Path, to: Path) -> None:
        """A layout in a folder, which tar packs."""
        image = f"{place / 'layout'}:v1"
        say("umoci", "init", "--layout", place / "layout")
        say("umoci", "new", "--image", image)
        say("umoci", "raw", "add-layer", "--image", image, self.layer)
        say("tar", "-C", place / "layout", "-cf", to, ".")

    def crane(self, _place: Path, to: Path) -> None:
        """`crane append` to nothing."""
        say("crane", "append", "-f", self.layer, "-t", APP, "-o", to)


def _ignore(_: object) -> None:
    return None


def _storage(place: Path) -> tuple[str | Path, ...]:
    return ("--root", place / "root", "--runroot", place / "run", "--storage-driver", "vfs")


def _gzipped(**more: str) -> Image:
    return Image(packings=["tar.gz", "tar.gz"], **more)  # type: ignore[arg-type]


def _written(files: Callable[[], archives.Files]) -> Callable[[Path, Path], None]:
    return lambda _, to: _ignore(write(to, files()))


def _buildx() -> archives.Files:
    """Two platforms, each with its attestation, below an index."""
    images = (_gzipped(), _gzipped(architecture="arm64"))
    beside = [archives.attestation(image.manifest) for image in images]
    below = [descriptor(image.manifest, MANIFEST, platform=image.platform) for image in images]
    inner = archives.index(*below, *(top for top, _ in beside))
    notes = {archives.CONTAINERD_NAME: f"docker.io/library/{APP}", archives.REF_NAME: "v1"}
    parts = [content for _, content in beside]
    return layout([descriptor(inner, INDEX, annotations=notes)], archives.blobs(inner), *images, *parts)


def _cosign() -> archives.Files:
    """An image and its signature."""
    image = _gzipped()
    top, content = archives.signature(image.manifest)
    return layout([*named(image, APP), top], image, content)


def writers(tools: Tools) -> tuple[Writer, ...]:
    """All whose archives the page shows."""
    saving = ("docker", "dockerd")
    oci, docker = "OCI layout", "docker-archive"
    jib = {"config": "config.json", "layers": "{hex}.tar.gz"}
    ko = {"config": "sha256:{hex}", "layers": "sha256:{hex}"}
    bazel = {"config": "bazel-out/{hex}.config", "layers": "bazel-out/{hex}/layer.tar"}
    rules_oci = {"config": "blobs/sha256/{hex}", "layers": "blobs/sha256/{hex}.tar.gz"}
    return (
        Writer("docker save", docker, saving, tools.docker_save),
        Writer("docker save, gzip", docker, (*saving, "gzip"), tools.packed("gzip")),
        Writer("docker save, pigz", docker, (*saving, "pigz"), tools.packed("pigz")),
        Writer("docker save, bzip2", docker, (*saving, "bzip2"), tools.packed("bzip2")),
        Writer("docker save, xz", docker, (*saving, "xz"), tools.packed("xz")),
        Writer("docker save, zstd", docker, (*saving, "zstd"), tools.packed("zstd", "-q", "-c")),
        *(
            Writer(f"docker save, unpacked, tar {way}".strip(), docker, (*saving, "tar"), tools.tarred(*way.split()))
            for way in TAR
        ),
        Writer("docker save, unpacked, git archive", docker, (*saving, "git"), tools.git),
        Writer("skopeo copy docker-archive:", docker, ("skopeo",), tools.skopeo("docker-archive")),
        Writer("skopeo copy oci-archive:", oci, ("skopeo",), tools.skopeo("oci-archive")),
        Writer("podman save --format docker-archive", docker, ("podman",), tools.podman("docker-archive")),
        Writer("podman save --format oci-archive", oci, ("podman",), tools.podman("oci-archive")),
        Writer("buildah push docker-archive:", docker, ("buildah",), tools.buildah("docker-archive")),
        Writer("buildah push oci-archive:", oci, ("buildah",), tools.buildah("oci-archive")),
        Writer("umoci, tar of the layout", oci, ("umoci", "tar"), tools.umoci),
        Writer("crane append", docker, ("crane",), tools.crane),
        Writer("the shape of ko", docker, (), _written(lambda: saved(_gzipped(), APP, **ko))),
        Writer("the shape of jib", docker, (), _written(lambda: saved(_gzipped(), APP, **jib))),
        Writer("the shape of Bazel's rules", docker, (), _written(lambda: saved(Image(), APP, **bazel))),
        Writer("the shape of Bazel's rules_oci", docker, (), _written(lambda: saved(_gzipped(), APP, **rules_oci))),
        Writer("the shape of cosign save", oci, (), _written(_cosign)),
        Writer("the shape of buildx, two platforms", oci, (), _written(_buildx), "linux/amd64"),
    )  # fmt: skip


def version(writer: Writer) -> str:
    """Of the writer's own tool, as it says itself."""
    if not writer.tools:
        return "tests_py/archives.py"
    return version_of(writer.tools[0] if writer.tools[0] != "docker" else writer.tools[-1])


def version_of(tool: str) -> str:
    """`skopeo 1.9.3`."""
    done = subprocess.run(
        [tool, "version" if tool == "crane" else "--version"], capture_output=True, text=True, check=False
    )
    words = (done.stdout or done.stderr).replace(",", " ").split()
    number = next((word.lstrip("v") for word in words if word.lstrip("*v")[:1].isdigit()), "")
    return f"{tool} {number}".strip()


def judge(path: Path, platform: str | None) -> tuple[str, str, str]:
    """Whether it opens, deploys and takes a name."""
    try:
        image = holdfast.Archive.open(path).image(platform)
    except exceptions.ImageError as error:
        return str(error).splitlines()[0].partition(": ")[2], "no", "no"
    return "yes", _deploys(path, platform, None, image.id), _deploys(path, platform, RETAGGED, image.id)


def _deploys(path: Path, platform: str | None, retag: str | None, image_id: str) -> str:
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as device:
        try:
            device.containerz.deploy(path, platform=platform, retag=retag, progress=False)
        except exceptions.ImageError as error:
            return "wants a name" if "no tag" in str(error) else str(error).splitlines()[0].partition(": ")[2]
        rows = device.containerz.images()
        there = bool(rows) and all(row.has_id(image_id) for row in rows)
        names = {f"{row.name}:{row.tag}" for row in rows}
        return "yes" if there and retag in (None, *names) and (retag is None or len(names) == 1) else f"as {names}"


def skopeo_says(path: Path, form: str, place: Path) -> str:
    """Whether skopeo copies it."""
    if shutil.which("skopeo") is None:
        return "not installed"
    kind = "oci-archive" if form == "OCI layout" else "docker-archive"
    tag = ":v1" if form == "OCI layout" else f":{APP}"  # which it wants to hear where there are several
    for source in (f"{kind}:{path}", f"{kind}:{path}{tag}"):
        words = ["skopeo", "--insecure-policy", "copy", "-q", source, f"dir:{place / 'copied'}"]
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            return "takes"
    return "refuses"


def docker_says(path: Path, docker: Docker | None) -> str:
    """Whether `docker load` loads it."""
    if docker is None:
        return "not installed"
    loaded = docker.run("load", "-i", str(path), check=False)
    with suppress(subprocess.CalledProcessError):
        for line in docker.run("images", "-aq").stdout.split():
            docker.run("rmi", "-f", line)
    return "takes" if loaded.returncode == 0 else "refuses"


@contextmanager
def engine(folder: Path) -> Iterator[Docker | None]:
    """A Docker engine of its own, where one can run."""
    if os.geteuid() != 0 or None in map(shutil.which, ("docker", "dockerd", "containerd")):
        yield None
        return
    docker = Docker(folder)
    try:
        yield docker
    finally:
        docker.stop()


def rows(folder: Path) -> Iterator[tuple[str, ...]]:
    """A row of the page for each writer whose tools are there."""
    (folder / "docker").mkdir()
    with engine(folder / "docker") as docker:
        tools = Tools(folder, docker)
        for at, writer in enumerate(writers(tools)):
            missing = [tool for tool in writer.tools if shutil.which(tool) is None]
            if missing or ("dockerd" in writer.tools and docker is None):
                why = f"{', '.join(missing)} not installed" if missing else "a Docker engine needs root"
                print(f"SKIPPED {writer.name}: {why}", flush=True)
                continue
            place = folder / str(at)
            place.mkdir()
            path = place / "made.tar"
            writer.make(place, path)
            row = (
                f"`{writer.name}`" if writer.tools else writer.name,
                writer.form,
                *judge(path, writer.platform),
                skopeo_says(path, writer.form, place),
                docker_says(path, docker),
                version(writer),
            )
            print(" | ".join(row), flush=True)
            yield row


def shown_of(name: str, page: str) -> list[str]:
    """The cells of that row of the page; none where it has no such row."""
    shown = next((line for line in page.splitlines() if line.startswith(f"| {name} |")), None)
    return [cell.strip() for cell in shown.strip("|").split("|")] if shown else []


def not_held(page: str) -> dict[str, str]:
    """The columns of tools that are not of the page's version here, each with both versions."""
    found = {}
    for column, tool, name in JUDGES:
        was = (shown_of(name, page) or [""])[-1]
        if shutil.which(tool) is not None and (is_now := version_of(tool)) != was:
            found[column] = f"the page is of {was or 'no version'}, and here is {is_now}"
    return found


def wrong(row: tuple[str, ...], page: str, others: Container[str] = ()) -> Iterator[str]:
    """What is not as it should be; the columns `others` are not the page's."""
    name, _, opens, _, _, skopeo, docker, _ = row
    if "takes" in (skopeo, docker) and opens != "yes":
        yield f"{name}: skopeo {skopeo}, docker load {docker}, and holdfast says: {opens}"
    cells = shown_of(name, page)
    held = [at for at, column in enumerate(COLUMNS[:-1]) if column not in others and row[at] != "not installed"]
    if not cells or any(row[at] != cells[at] for at in held):
        yield f"{name}: the page says {cells}, and it is {list(row)}"


def main(words: list[str]) -> int:
    """Makes them all, and writes or checks the page."""
    with tempfile.TemporaryDirectory(prefix="holdfast-archives-") as folder:
        made = list(rows(Path(folder)))
    if "write" in words:
        lines = [COLUMNS, ("---",) * len(COLUMNS), *made]
        PAGE.write_text(HEAD + "".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    others = not_held(page)
    for column, why in others.items():
        print(f"NOT HELD against the page: the column {column}: {why}", flush=True)
    trouble = [each for row in made for each in wrong(row, page, others)]
    for each in trouble:
        print(f"WRONG {each}", flush=True)
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
