#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Puts the installed plugin into the Debian system: writes an OCI archive and a root file system.

    image.py --runtime RUNTIME.tar --stage DESTDIR --build BUILD --out DIR

Writes DIR/gst-habana-VERSION-ARCH.oci.tar (an OCI image layout; its manifest.json lets a docker that knows only its own format load it too) and DIR/gst-habana-VERSION-ARCH.rootfs.tar.xz.
The same input and $SOURCE_DATE_EPOCH give the same bytes. Format: the OCI image specification 1.1, image-layout.md, manifest.md, config.md, layer.md. Needs the standard library and xz.
"""
import argparse
import concurrent.futures
import datetime
import gzip
import hashlib
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

NAME = "gst-habana"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}     # machine: its name in OCI and Debian
CHUNK = 1 << 20
TAR_RECORD = 20 * 512
# Where the host's SynapseAI is mounted (docs/image.md); absent, the entry is passed over.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": "/usr/lib/habanalabs"}


class Hashing:
    """A writable stream that knows the SHA-256 and the size of what went through it."""

    def __init__(self, target):
        self._target, self._digest, self.size = target, hashlib.sha256(), 0

    def write(self, data):
        self._digest.update(data)
        self.size += len(data)
        return self._target.write(data)

    def flush(self):
        self._target.flush()

    @property
    def digest(self):
        return "sha256:" + self._digest.hexdigest()


def pieces(path, end=None):
    """The content of `path` up to byte `end`."""
    left = path.stat().st_size if end is None else end
    with path.open("rb") as file:
        while left > 0 and (data := file.read(min(CHUNK, left))):
            left -= len(data)
            yield data


def scan(path):
    """(names, end): what a tar file holds, and where its end-of-archive blocks begin."""
    with tarfile.open(path, "r:") as archive:
        names = {os.path.normpath(member.name) for member in archive}
        return names, archive.offset


def entry(name, epoch, source=None, link=None):
    """A tar header that owes nothing to the machine: root's, with the mode that its kind has."""
    info = tarfile.TarInfo(name)
    info.mtime = epoch
    if link is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, link, 0o777
    elif source is None or source.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size, info.mode = source.stat().st_size, 0o755 if os.access(source, os.X_OK) else 0o644
    return info


def plugin_layer(stage, present, epoch, path):
    """Writes what was installed below `stage` as a layer; directories that are `present` in the system are not repeated. A link leads GStreamer, which
    looks where its own plugins are, to ours."""
    found = sorted(stage.rglob("*"), key=lambda p: p.relative_to(stage).parts)
    plugins = [p for p in found if p.name == "libgsthabana.so"]
    if len(plugins) != 1:
        raise RuntimeError(f"{len(plugins)} libgsthabana.so were installed, where one was expected")
    plugin = plugins[0].relative_to(stage)
    places = [Path(name).parent for name in present if Path(name).name == "libgstcoreelements.so"]
    if len(places) != 1:
        raise RuntimeError(f"the system has {len(places)} libgstcoreelements.so, where GStreamer's has one")
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        if "dev" not in present:
            archive.addfile(entry("dev", epoch))     # its nodes come from whoever runs the image
        for file in found:
            name = str(file.relative_to(stage))
            if file.is_symlink():
                archive.addfile(entry(name, epoch, link=os.readlink(file)))
            elif file.is_dir():
                if name not in present:
                    archive.addfile(entry(name, epoch))
            else:
                with file.open("rb") as content:
                    archive.addfile(entry(name, epoch, file), content)
        if plugin.parent != places[0]:
            archive.addfile(entry(str(places[0] / plugin.name), epoch, link=f"/{plugin}"))


def write_rootfs(runtime, runtime_end, layer, path):
    """Both tar files as one, compressed. Threads do not change the bytes as long as xz knows that it may use some."""
    with path.open("wb") as file, subprocess.Popen(["xz", "-2", "-c", f"--threads=+{os.cpu_count()}"], stdin=subprocess.PIPE, stdout=file) as xz:
        for source, end in ((runtime, runtime_end), (layer, scan(layer)[1])):
            for data in pieces(source, end):
                xz.stdin.write(data)
        total = runtime_end + scan(layer)[1]
        xz.stdin.write(bytes(-(total + 1024) % TAR_RECORD + 1024))
        xz.stdin.close()
    if xz.returncode != 0:
        raise RuntimeError(f"xz failed with status {xz.returncode}")


class Layout:
    """The blobs of an OCI image layout, written below a folder."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)

    def _blob(self, digest):
        return self.folder / "blobs" / Path(*digest.split(":"))

    def add_layer(self, tar):
        """A layer's descriptor and its diff_id, the digest of the uncompressed tar file."""
        temporary = self.folder / "blobs" / tar.name
        with temporary.open("wb") as file:
            packed = Hashing(file)
            with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0, compresslevel=6) as zipped:
                plain = Hashing(zipped)
                for data in pieces(tar):
                    plain.write(data)
        temporary.rename(self._blob(packed.digest))
        return {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": packed.digest, "size": packed.size}, plain.digest

    def add_json(self, media_type, content):
        data = json.dumps(content, indent=1).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self._blob(digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def write(self, files, epoch, path):
        """All of it as a tar file, with `files` {name: JSON} at its top."""
        for name, content in files.items():
            (self.folder / name).write_text(json.dumps(content), encoding="utf-8")
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            for file in sorted(self.folder.rglob("*")):
                name = str(file.relative_to(self.folder))
                if file.is_dir():
                    archive.addfile(entry(name, epoch))
                else:
                    info = entry(name, epoch, file)
                    info.mode = 0o644
                    with file.open("rb") as content:
                        archive.addfile(info, content)


def image_config(architecture, version, epoch, diff_ids):
    created = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "created": created, "architecture": architecture, "os": "linux",
        "config": {
            "Env": [f"{key}={value}" for key, value in ENVIRONMENT.items()],
            "Cmd": ["/bin/bash"],
            "Labels": {"org.opencontainers.image.title": NAME, "org.opencontainers.image.version": version,
                       "org.opencontainers.image.description": "GStreamer in Gaudi memory, on Debian 13"},
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": created, "created_by": what} for what in ("Debian 13", f"{NAME} {version}")],
    }


def write_oci(layers, architecture, version, epoch, scratch, path):
    layout = Layout(scratch / "oci")
    described = [layout.add_layer(layer) for layer in layers]
    config = layout.add_json("application/vnd.oci.image.config.v1+json", image_config(architecture, version, epoch, [diff_id for _, diff_id in described]))
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = layout.add_json(manifest_type, {"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer for layer, _ in described]})
    manifest["platform"] = {"architecture": architecture, "os": "linux"}
    manifest["annotations"] = {"org.opencontainers.image.ref.name": f"{NAME}:{version}"}
    blob = "blobs/{}".format
    layout.write({
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
        "index.json": {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]},
        "manifest.json": [{"Config": blob(config["digest"].replace(":", "/")), "RepoTags": [f"{NAME}:{version}"],
                           "Layers": [blob(layer["digest"].replace(":", "/")) for layer, _ in described]}],
    }, epoch, path)


def project_version(build):
    return json.loads(subprocess.run(["meson", "introspect", "--projectinfo", str(build)], check=True, capture_output=True, text=True).stdout)["version"]


def write_image(runtime, stage, version, architecture, epoch, out):
    """Both files, each written under another name first. Returns their paths."""
    paths = [out / f"{NAME}-{version}-{architecture}.{kind}" for kind in ("oci.tar", "rootfs.tar.xz")]
    with tempfile.TemporaryDirectory(dir=out, prefix=".image-") as folder:
        scratch = Path(folder)
        layer, new = scratch / "plugin.tar", [scratch / path.name for path in paths]
        present, end = scan(runtime)
        plugin_layer(stage, present, epoch, layer)
        with concurrent.futures.ThreadPoolExecutor() as pool:   # hashing, zlib and xz leave the interpreter to others
            work = [pool.submit(write_oci, [runtime, layer], architecture, version, epoch, scratch, new[0]), pool.submit(write_rootfs, runtime, end, layer, new[1])]
            for job in work:
                job.result()
        for temporary, path in zip(new, paths):
            temporary.rename(path)
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--runtime", "--stage", "--build", "--out"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args()
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    print(f"[dev] packing {options.runtime.stat().st_size >> 20} MB of Debian 13 and the plugin, about 2 minutes", file=sys.stderr, flush=True)
    for path in write_image(options.runtime, options.stage, project_version(options.build), ARCHITECTURES[platform.machine()], epoch, options.out):
        print(f"{path.stat().st_size >> 20:5} MB  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
