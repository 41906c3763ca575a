"""Writes the hash locks beside it from what pip itself would install; run it again when pyproject.toml changes.

    python requirements/make_lock.py [--constraint FILE]     (in an environment with pip >= 23.1)
    python requirements/make_lock.py --beside outside        one lock of an environment beside ours

Four files of ours, each line `name==version --hash=sha256:...` of the one file that pip takes on this platform:

* common.lock     everything but torch, all extras, and the tools that build our own package;
* build.lock      those tools alone, to be installed first;
* torch-cpu.lock  one line: torch for the processor alone, where such a file is offered;
* torch-any.lock  torch as the public index has it, and what only that file needs (it brings libraries for
  graphics cards: gigabytes).

Torch stands in no common lock, and never with two hashes on one line: pip would then take the large file even where
the small one is offered, and its import fails.

Beside them one lock for each environment of its own (`python3 install.py --beside NAME`): programs of others that our
tests run as counterparts, and that want other versions than we do. Where a model has to give the same bits there as
here, the packages that decide about bits are held to the versions of common.lock (SAME).

A tool that has to run inside our own environment, and that nobody needs who runs Countersign, has a lock of only what
common.lock lacks (ONTO), all of it held to the versions there.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TORCH = "2.13.0"
BUILD_TOOLS = ["hatchling>=1.27", "editables>=0.5", "setuptools>=80"]
# The same tools and what they need; `--no-build-isolation` then uses these and fetches nothing unchecked.
BUILD = ("editables", "hatchling", "packaging", "pathspec", "pluggy", "setuptools", "tomlkit", "trove-classifiers")

# Environments beside ours: what each is for, and what it holds beside torch.
BESIDE = {
    "outside": ("Servers that others wrote: MLflow whole, MLServer (Open Inference Protocol).",
                ["mlflow", "mlserver", "monai", "safetensors"]),
    "thirdparty": ("Models that others wrote, to be held against ours: nnU-Net v2 and deepbet.",
                   ["batchgenerators==0.25.5", "batchgeneratorsv2==0.3.6", "acvl-utils==0.2.6", "blosc2", "einops",
                    "fill-voids", "fft-conv-pytorch", "graphviz", "imagecodecs", "matplotlib", "nibabel", "pandas",
                    "requests", "seaborn", "simpleitk", "tifffile", "tqdm", "yacs"]),
}
# What is taken without what it asks for: nnU-Net's networks ask for timm, and that for torchvision, of which they use
# nothing here; deepbet asks for a window tool kit.
ALONE = {"thirdparty": ["nnunetv2==2.8.1", "dynamic-network-architectures==0.4.4", "deepbet==1.0.2"]}
# Tools that run on our own packages, in a folder beside ours: `--target .venv-NAME`, put on the path after ours.
ONTO = {"mutants": ("Mutation testing of our own packages, `make mutants`.", ["mutmut==3.8.1"])}
SAME = ("mlflow-skinny", "monai", "numpy", "safetensors")


def resolved(wanted: list[str], *options: str, only_public: bool = False) -> dict[str, tuple[str, str]]:
    """What pip would install for `wanted` in an empty environment: name -> (version, sha256). Installs nothing.

    Raises:
        SystemExit: pip found no solution (its own words are shown), or a file without a sha256.
    """
    environment = dict(os.environ)
    if only_public:
        # Files offered by a local folder are left aside, so that the public index's own file is the one found.
        environment["PIP_FIND_LINKS"] = ""
        environment["PIP_CONFIG_FILE"] = os.devnull
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report",
                   str(report), *options, *wanted]  # fmt: skip
        done = subprocess.run(command, env=environment, check=False)
        if done.returncode:
            raise SystemExit(f"pip found no solution for: {' '.join(wanted)}")
        listed: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = {}
    for item in listed:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        digest = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if not digest:
            raise SystemExit(f"{name} has no sha256 in pip's report: it cannot be locked.")
        found[name] = (item["metadata"]["version"], digest)
    return found


def write(name: str, head: str, lines: dict[str, tuple[str, str]]) -> None:
    """One lock file, sorted by name, with a first comment that says what it is."""
    body = [f"{package}=={version} --hash=sha256:{digest}" for package, (version, digest) in sorted(lines.items())]
    (HERE / name).write_text("\n".join([f"# {head} Made by requirements/make_lock.py.", *body]) + "\n", "utf-8")
    print(f"{name}: {len(lines)} packages")


def write_beside(name: str, options: list[str]) -> None:
    """The lock of an environment beside ours. Torch comes from its own lock there as well."""
    purpose, wanted = (BESIDE | ONTO)[name]
    versions = dict(line.split(" ")[0].split("==") for line in
                    (HERE / "common.lock").read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "held.txt"
        same = versions if name in ONTO else SAME
        held.write_text("".join(f"{package}=={versions[package]}\n" for package in same), encoding="utf-8")
        if name in ONTO:
            found = resolved(wanted, "--constraint", str(held), *options)
            write(f"{name}.lock", purpose, {one: line for one, line in found.items() if one not in versions})
            return
        found = resolved([*wanted, f"torch=={TORCH}+cpu"], "--constraint", str(held), *options)
        if name in ALONE:
            found |= resolved(ALONE[name], "--no-deps", *options)
    # Torch, and what only the large one needs, come from their own locks there as well.
    large = {line.split("==")[0] for line in (HERE / "torch-any.lock").read_text(encoding="utf-8").splitlines()}
    write(f"{name}.lock", purpose, {package: line for package, line in found.items() if package not in large})


def main() -> None:
    parser = argparse.ArgumentParser(description="Write requirements/*.lock")
    parser.add_argument("--constraint", help="file of versions to keep to, as `pip freeze` prints it")
    parser.add_argument("--beside", choices=sorted(BESIDE | ONTO), help="write the lock of this environment alone")
    asked = parser.parse_args()
    options = ["--constraint", asked.constraint] if asked.constraint else []
    if asked.beside:
        write_beside(asked.beside, options)
        return

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *BUILD_TOOLS]
    for extra in project["optional-dependencies"].values():
        wanted += [line for line in extra if not line.startswith("torch")]

    torch = resolved([f"torch=={TORCH}"], *options, only_public=True)
    with_small = resolved([f"torch=={TORCH}+cpu"], *options)
    only_large = {name: line for name, line in torch.items() if name == "torch" or name not in with_small}
    everything = resolved([*wanted, f"torch=={TORCH}"], *options, only_public=True)
    common = {name: line for name, line in everything.items() if name not in only_large}

    write("torch-cpu.lock", "Torch for the processor alone.", {"torch": with_small["torch"]})
    write("torch-any.lock", "Torch as the public index has it.", only_large)
    write("build.lock", "What builds a package here: installed first.", {n: common[n] for n in BUILD if n in common})
    write("common.lock", "Everything but torch.", common)


if __name__ == "__main__":
    main()
