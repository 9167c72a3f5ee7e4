"""docker/Dockerfile built by buildah without a registry: on debootstrap's Debian, in a chroot, with pip's settings of here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

NEEDED = ("buildah", "debootstrap", "ch-run")
MIRROR = "http://deb.debian.org/debian"
_CERTIFICATES = "/etc/host-certificates.crt"


class Image:
    """The image, and its files in a folder while it is mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "STORAGE_DRIVER": "vfs"}
        self.place = ["--root", str(folder / "root"), "--runroot", str(folder / "run")]

    def __enter__(self) -> "Image":
        self.folder.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        """Unmounts and removes everything."""
        for words in (("umount", "--all"), ("rm", "--all")):
            subprocess.run(["buildah", *self.place, *words], env=self.env, capture_output=True, check=False)
        for line in Path("/proc/mounts").read_text().splitlines():
            if line.split()[1].startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def build(self) -> Path:
        """The folder of the built image's files."""
        base = self.folder / "base"
        subprocess.run(
            ["debootstrap", "--variant=minbase", "bookworm", str(base), MIRROR],
            check=True,
            capture_output=True,
        )
        settings, volumes = pip_settings()
        (base / "etc/pip.conf").write_text(settings)
        certificates = Path("/etc/ssl/certs/ca-certificates.crt")
        if certificates.exists():
            shutil.copyfile(certificates, str(base) + _CERTIFICATES)
        scratch = self("from", "scratch")
        self("add", "--quiet", scratch, str(base), "/")
        self("commit", "--quiet", scratch, "localhost/base")
        self("rm", scratch)
        shutil.rmtree(base)
        mounts = [word for path in volumes for word in ("--volume", f"{path}:{path}:ro")]
        self(
            "bud", "--isolation=chroot", "--format=docker", "--from", "localhost/base", *mounts,
            "--file", str(ROOT / "docker/Dockerfile"), "--tag", "launcher", str(ROOT),
        )  # fmt: skip
        return Path(self("mount", self("from", "launcher")))

    def user(self) -> str:
        """The user that the image names."""
        return self("inspect", "--type", "image", "--format", "{{.OCIv1.Config.User}}", "launcher")

    def __call__(self, *words: str) -> str:
        """What a command of buildah prints."""
        done = subprocess.run(
            ["buildah", *self.place, *words], env=self.env, capture_output=True, text=True, timeout=3000
        )
        assert done.returncode == 0, f"{words[0]}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout.strip()


def pip_settings() -> tuple[str, list[str]]:
    """The text of a pip.conf as pip is set up here, and the folders of this machine that it names."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    known = dict(re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", done.stdout, re.MULTILINE))
    kept = {name: known[name] for name in known if name.endswith(("index-url", "find-links", "constraint"))}
    paths = re.findall(r"(?:file://)?(/[^\s']+)", " ".join(kept.values()))
    folders = {str(path if path.is_dir() else path.parent) for path in map(Path, paths) if path.exists()}
    folders |= {str(Path(one).parent) for one in folders if Path(one).name == "simple"}
    lines = [f"cert = {_CERTIFICATES}", *(f"{name} = {value}" for name, value in kept.items())]
    return "\n".join(["[global]", *lines]) + "\n", sorted(folders)
