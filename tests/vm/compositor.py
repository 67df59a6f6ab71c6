# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Wayland compositor without a screen: what it shows, which dma-bufs it has, as the kernel says, and which it has not given back, as the protocol says."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

from PIL import Image

SECONDS = 60                            # for its start, and for a picture of its screen, on a busy machine without KVM


class Compositor:
    """weston with one output of this size, which its only window fills. Until left."""

    # Mesa's software renderer imports dma-bufs by mapping them where it finds no DRM device; with one, that device has to import them, and those here cannot.
    NO_DRM = ['unshare', '--mount', 'bash', '-c', 'mount -t tmpfs none /dev/dri && exec "$@"', 'bash']

    def __init__(self, renderer, width, height):
        self._directory = tempfile.TemporaryDirectory()
        directory = pathlib.Path(self._directory.name)
        self.display = str(directory / 'wayland')
        self._environment = os.environ | {'XDG_RUNTIME_DIR': str(directory), 'NOTIFY_SOCKET': str(directory / 'notify'),
                                          'LIBGL_ALWAYS_SOFTWARE': '1', 'MESA_SHADER_CACHE_DISABLE': '1', 'GALLIVM_PERF': 'nopt'}
        command = [] if renderer == 'pixman' else list(self.NO_DRM)
        command += ['weston', '--backend=headless', f'--renderer={renderer}', f'--width={width}', f'--height={height}', '--shell=fullscreen', '--socket=wayland', '--idle-time=0', '--no-config',
                    '--modules=systemd-notify.so', '--debug']                   # debug: anybody may have pictures of the screen
        self._log = directory / 'log'
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, open(self._log, 'wb') as log:
            told.bind(self._environment['NOTIFY_SOCKET'])
            told.settimeout(SECONDS)
            self._process = subprocess.Popen(command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
            while b'READY=1' not in told.recv(4096):
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()

    def said(self):
        """Its log so far; an error if it has ended."""
        text = self._log.read_text(encoding='utf-8', errors='replace')
        if self._process.poll() is not None:
            raise AssertionError(f'weston ended with status {self._process.returncode}: {text}')
        return text

    def _proc(self, name):
        return pathlib.Path('/proc', str(self._process.pid), name)

    def mapped(self):
        """Inodes of the dma-bufs that it reads in place, whichever way they came."""
        return {int(inode) for inode in re.findall(r'^\S+ \S+ \S+ \S+ (\d+) +/dmabuf:', self._proc('maps').read_text(encoding='utf-8'), re.MULTILINE)}

    def imported(self):
        """Inodes of those that came by linux-dmabuf: of wl_shm, libwayland-server closes the descriptor once it is mapped (wayland-shm.c shm_create_pool)."""
        return {os.stat(entry.path).st_ino for entry in os.scandir(self._proc('fd')) if os.readlink(entry.path).startswith('/dmabuf:')}

    def shown(self):
        """The picture on its screen, as rows of RGB."""
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(['weston-screenshooter'], cwd=directory, env=self._environment | {'WAYLAND_DISPLAY': self.display}, capture_output=True, check=True, timeout=SECONDS)
            path, = pathlib.Path(directory).iterdir()
            with Image.open(path) as image:
                return image.convert('RGB').tobytes()

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)


class Protocol:
    """What this process's Wayland clients say and hear, as libwayland-client prints it on stderr. Which it goes on to do later: it reads the variable, but not that it is gone."""

    def __enter__(self):
        self._file = tempfile.TemporaryFile()
        self._stderr = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        os.environ['WAYLAND_DEBUG'] = 'client'
        return self

    def __exit__(self, *_):
        os.dup2(self._stderr, 2)
        os.close(self._stderr)
        self._file.close()

    def held(self):
        """Which wl_shm frames were attached and not released, as numbers in the order in which waylandsink first met their memories."""
        numbers, count, held = {}, 0, set()
        for line in os.pread(self._file.fileno(), os.fstat(self._file.fileno()).st_size, 0).decode(errors='replace').splitlines():
            if said := re.search(r'(\w+)\(new id (wl_buffer#\d+)', line):
                numbers.pop(said.group(2), None)        # ids come again
                if said.group(1) == 'create_buffer':
                    numbers[said.group(2)] = count
                    count += 1
            elif said := re.search(r'attach\((wl_buffer#\d+),', line):
                held.add(numbers.get(said.group(1)))
            elif said := re.search(r'(wl_buffer#\d+)\.release\(', line):
                held.discard(numbers.get(said.group(1)))
        return held - {None}
