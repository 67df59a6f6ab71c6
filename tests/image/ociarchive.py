# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads an OCI archive as the specification has it, and says what is wrong with it. Owes nothing to what writes ours.

OCI image specification 1.1: image-layout.md (oci-layout, index.json, blobs/ALGORITHM/HEX), descriptor.md (digest, size), manifest.md, config.md (diff_ids are the digests of the uncompressed
layers, in order), layer.md.
"""
import gzip
import hashlib
import json
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class Wrong(AssertionError):
    """The archive breaks the specification."""


def _digest(stream):
    """(digest, size) of what a stream holds."""
    digest, size = hashlib.sha256(), 0
    while data := stream.read(1 << 20):
        digest.update(data)
        size += len(data)
    return "sha256:" + digest.hexdigest(), size


class OciArchive:
    """An image with one manifest in a tar file. Every blob that is read is checked against its descriptor first."""

    def __init__(self, path):
        self._tar = tarfile.open(path, "r:")
        self.members = self._tar.getmembers()
        layout = self._top("oci-layout")
        if layout != {"imageLayoutVersion": "1.0.0"}:
            raise Wrong(f"oci-layout is {layout}")
        index = self._top("index.json")
        if index["schemaVersion"] != 2 or len(index["manifests"]) != 1:
            raise Wrong(f"index.json is {index}")
        self.reference = index["manifests"][0]
        self.manifest = json.load(self.blob(self.reference, MANIFEST))
        self.config = json.load(self.blob(self.manifest["config"], CONFIG))
        self.layers = self.manifest["layers"]
        self._check()

    def close(self):
        self._tar.close()

    def _top(self, name):
        return json.load(self._tar.extractfile(name))

    def blob(self, descriptor, media_type):
        """A stream of the blob that `descriptor` stands for."""
        if descriptor["mediaType"] != media_type:
            raise Wrong(f"a {descriptor['mediaType']} where {media_type} belongs")
        name = "blobs/" + descriptor["digest"].replace(":", "/")
        found = _digest(self._tar.extractfile(name))
        if found != (descriptor["digest"], descriptor["size"]):
            raise Wrong(f"{name} has {found}, its descriptor says {descriptor['digest'], descriptor['size']}")
        return self._tar.extractfile(name)

    def layer(self, i):
        """Layer `i` as a tar file."""
        return tarfile.open(fileobj=gzip.open(self.blob(self.layers[i], LAYER)), mode="r|")

    def _check(self):
        if self.manifest["schemaVersion"] != 2:
            raise Wrong(f"the manifest's schemaVersion is {self.manifest['schemaVersion']}")
        for key in ("architecture", "os", "rootfs"):
            if not self.config.get(key):
                raise Wrong(f"the configuration has no {key}")
        if self.config["rootfs"]["type"] != "layers":
            raise Wrong(f"rootfs is {self.config['rootfs']}")
        plain = [_digest(gzip.open(self.blob(layer, LAYER)))[0] for layer in self.layers]
        if plain != self.config["rootfs"]["diff_ids"]:
            raise Wrong(f"the layers are {plain}, the configuration says {self.config['rootfs']['diff_ids']}")
        wanted = {"blobs/" + d["digest"].replace(":", "/") for d in (self.reference, self.manifest["config"], *self.layers)}
        there = {member.name for member in self.members if member.isfile() and member.name.startswith("blobs/")}
        if wanted != there:
            raise Wrong(f"blobs that nothing names, or that are missing: {wanted ^ there}")
