#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""hl-doctor agrees with what raw ioctls measured on these drivers, leaves them as it found them, and asks the kernel itself."""

import contextlib
import glob
import json
import os
import pathlib
import re
import signal
import subprocess
import unittest

NOBODY = 65534
UDMABUF_LIMIT = pathlib.Path('/sys/module/udmabuf/parameters/size_limit_mb')
HUGE_FREE = pathlib.Path('/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages')
LIBV4L2 = glob.glob('/usr/lib/*/libv4l/v4l2convert.so')

YES = ('imports', 'none')
SCATTERED = ('refused', 'not-contiguous')
NONE = ('refused', 'no-dmabuf')
SIMULATED = ('refused', 'not-a-dmabuf')


def node(name):
    return os.environ['HL_VM_' + name]


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


def doctor(*nodes, **more):
    """Exit status and report."""
    done = run('hl-doctor', '--json', *nodes, **more)
    return done.returncode, json.loads(done.stdout)


def answers(importer):
    return {memory: (verdict['answer'], verdict['cause']) for memory, verdict in importer['memory'].items()}


def set_format(name, fourcc, width, height):
    done = run('v4l2-ctl', '-d', node(name), f'--set-fmt-video=width={width},height={height},pixelformat={fourcc}')
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def kernel_log():
    return run('dmesg').stdout.splitlines()


@contextlib.contextmanager
def ioctl_log(name):
    """What the kernel itself sees of a V4L2 node: gives a function that returns the names and arguments so far."""
    switch = pathlib.Path('/sys/class/video4linux', os.path.basename(node(name)), 'dev_debug')
    before = len(kernel_log())
    switch.write_text('0xb', encoding='ascii')     # names, arguments, and QBUF too
    pattern = re.compile(rf'{os.path.basename(node(name))}: (VIDIOC_\w+)[: ]*(.*)')
    try:
        yield lambda: [match.groups() for match in map(pattern.search, kernel_log()[before:]) if match]
    finally:
        switch.write_text('0', encoding='ascii')


@contextlib.contextmanager
def streaming(device):
    """A stock v4l2src that streams from a node, with frames arriving."""
    line = f'gst-launch-1.0 -q v4l2src device={device} ! video/x-raw,format=NV12,width=320,height=180 ! fdsink'.split()
    with subprocess.Popen(line, stdout=subprocess.PIPE) as source:
        try:
            if not source.stdout.read(320 * 180):
                raise RuntimeError('v4l2src did not stream')
            yield source
        finally:
            source.send_signal(signal.SIGINT)
            source.stdout.close()


def tearDownModule():
    for camera in ('VIVID_VMALLOC', 'VIVID_CONTIG', 'VIVID_VMALLOC_MPLANE', 'VIVID_CONTIG_MPLANE'):
        set_format(camera, 'YUYV', 320, 240)


class Matrix(unittest.TestCase):
    """A frame of pages has the first half of them twice and huge pages hold 2 MiB, so that nothing here is owed to where the kernel found memory. The two that are, the exact heap on a driver that needs one
    stretch and more than 1 MiB of the rounded one, are not asked for."""

    def check(self, device, wanted, kind=None):
        status, report = doctor(device)
        self.assertEqual(status, 0, report)
        self.assertEqual([importer['node'] for importer in report['importers']], [device])
        importer = report['importers'][0]
        if kind:
            self.assertEqual(importer['kind'], kind)
        found = answers(importer)
        self.assertEqual({memory: found[memory] for memory in wanted}, wanted, importer)
        self.assertEqual(found['device'], SIMULATED)
        return importer

    def test_vmalloc_takes_everything(self):
        for fourcc in ('YUYV', 'NV12', 'RGB3', 'XR24'):
            for width, height in ((640, 480), (1920, 1080)):
                with self.subTest(fourcc=fourcc, width=width):
                    set_format('VIVID_VMALLOC', fourcc, width, height)
                    importer = self.check(node('VIVID_VMALLOC'), {memory: YES for memory in ('pages', 'huge-pages', 'heap', 'heap-mib')}, 'capture')
                    self.assertEqual(importer['format'], f'{fourcc} {width}x{height}')
                    self.assertEqual(importer['memory']['pages']['proof'], 'map')

    def test_dma_contig_takes_one_stretch(self):
        for fourcc in ('YUYV', 'NV12', 'RGB3', 'XR24'):
            for width, height, huge in ((640, 480, YES), (1920, 1080, SCATTERED)):
                with self.subTest(fourcc=fourcc, width=width):
                    set_format('VIVID_CONTIG', fourcc, width, height)
                    importer = self.check(node('VIVID_CONTIG'), {'pages': SCATTERED, 'huge-pages': huge}, 'capture')
                    self.assertEqual(importer['memory']['pages']['errno'], 'EFAULT')
        set_format('VIVID_CONTIG', 'NV12', 640, 480)
        self.check(node('VIVID_CONTIG'), {'heap-mib': YES})

    def test_several_planes(self):
        for fourcc, planes in (('NV12', [460800]), ('NM12', [307200, 153600])):
            with self.subTest(fourcc):
                for camera, pages in (('VIVID_VMALLOC_MPLANE', YES), ('VIVID_CONTIG_MPLANE', SCATTERED)):
                    set_format(camera, fourcc, 640, 480)
                    importer = self.check(node(camera), {'pages': pages, 'huge-pages': YES}, 'capture')
                    self.assertEqual(importer['plane_bytes'], planes)

    def test_outputs(self):
        for output, pages in (('VIVID_VMALLOC_OUT', YES), ('VIVID_VMALLOC_MPLANE_OUT', YES), ('VIVID_CONTIG_OUT', SCATTERED), ('VIVID_CONTIG_MPLANE_OUT', SCATTERED)):
            with self.subTest(output):
                self.check(node(output), {'pages': pages, 'huge-pages': YES}, 'output')

    def test_memory_to_memory(self):
        for name in ('VIM2M', 'VICODEC_STATEFUL_ENCODER'):
            with self.subTest(name):
                status, report = doctor(node(name))
                self.assertEqual(status, 0)
                self.assertEqual([importer['kind'] for importer in report['importers']], ['m2m-output', 'm2m-capture'])
                for importer in report['importers']:
                    self.assertEqual(answers(importer)['pages'], YES)
        status, report = doctor(node('VICODEC_STATELESS_DECODER'))
        self.assertEqual(status, 0)
        self.assertEqual(answers(report['importers'][0])['pages'], ('unknown', 'needs-request'))

    def test_cards(self):
        everything = {memory: YES for memory in ('pages', 'huge-pages', 'heap', 'heap-mib')}
        for name, kind, wanted, proof, formats in (
                ('VKMS', 'display', everything, 'framebuffer', {'NV12', 'BGRx'}), ('BOCHS', 'display', everything, 'framebuffer', {'BGRx'}),
                ('CIRRUS', 'display', everything, 'framebuffer', {'BGRx'}), ('VGEM', 'render', everything, 'import', set()),
                ('VIRTIO_GPU', 'display', {memory: NONE for memory in everything}, 'none', set())):
            with self.subTest(name):
                importer = self.check(node(name), wanted, kind)
                pages = importer['memory']['pages']
                self.assertEqual(pages['proof'], proof)
                self.assertLessEqual(formats, set(pages['formats']))
                self.assertEqual(pages['errno'], 'ENODEV' if name == 'VIRTIO_GPU' else '')

    def test_all_nodes_at_once(self):
        status, report = doctor()
        self.assertEqual(status, 0)
        self.assertEqual({importer['node'] for importer in report['importers']}, set(glob.glob('/dev/video*') + glob.glob('/dev/dri/card*') + glob.glob('/dev/dri/renderD*')))
        self.assertEqual(report['failures'], [])
        table = run('hl-doctor')
        self.assertEqual(table.returncode, 0)
        for importer in report['importers']:
            self.assertRegex(table.stdout, rf'(?m)^{importer["node"]} +{importer["kind"]} +{importer["driver"]} ')


class LeavesAlone(unittest.TestCase):
    def state(self):
        # A volatile control changes by itself, a read-only one (vivid's count of frames) because frames are streamed.
        all_of = {path: re.sub(r'.*\b(?:volatile|read-only)\b.*\n', '', run('v4l2-ctl', '-d', path, '--all').stdout) for path in sorted(glob.glob('/dev/video*'))}
        all_of['huge pages'] = HUGE_FREE.read_text(encoding='ascii')
        return all_of

    def test_nodes_and_memory_are_as_before(self):
        set_format('VIVID_VMALLOC', 'YUYV', 640, 360)
        before = self.state()
        self.assertIn('640/360', before[node('VIVID_VMALLOC')])
        doctor()
        self.assertEqual(self.state(), before)

    def test_the_kernel_saw_one_buffer_and_no_format(self):
        with ioctl_log('VIVID_VMALLOC') as seen:
            doctor(node('VIVID_VMALLOC'))
            calls = seen()
        names = {name for name, _ in calls}
        self.assertEqual(names, {'VIDIOC_QUERYCAP', 'VIDIOC_G_FMT', 'VIDIOC_REQBUFS', 'VIDIOC_QBUF'})
        requests = [arguments for name, arguments in calls if name == 'VIDIOC_REQBUFS']
        self.assertEqual(len(requests), 10, requests)       # five memories, asked for and given back
        for asked, given in zip(requests[::2], requests[1::2]):
            self.assertRegex(asked, r'count=[1-9]\d*, type=vid-cap, memory=dmabuf')
            self.assertRegex(given, r'count=0, type=vid-cap, memory=dmabuf')

    def test_cards_get_back_what_was_made(self):
        """No mode, no master: what strace sees of the ioctls is complete."""
        trace = '/tmp/doctor.strace'
        for name in ('BOCHS', 'VKMS'):
            with self.subTest(name):
                run('strace', '-f', '-e', 'trace=ioctl', '-o', trace, 'hl-doctor', '--json', node(name))
                calls = re.findall(r'ioctl\(\d+, DRM_IOCTL_(\w+).*= (-?\d+)', pathlib.Path(trace).read_text(encoding='utf-8'))
                done = [call for call, result in calls if result == '0']
                self.assertGreaterEqual(done.count('PRIME_FD_TO_HANDLE'), 4)
                self.assertEqual(done.count('PRIME_FD_TO_HANDLE'), done.count('GEM_CLOSE'))
                self.assertGreaterEqual(done.count('MODE_ADDFB2'), 4)
                self.assertEqual(done.count('MODE_ADDFB2'), done.count('MODE_RMFB'))
                self.assertIn('DROP_MASTER', done)
                self.assertFalse({call for call, _ in calls} & {'SET_MASTER', 'MODE_SETCRTC', 'MODE_SETPLANE', 'MODE_ATOMIC', 'MODE_PAGE_FLIP', 'MODE_OBJ_SETPROPERTY', 'MODE_CURSOR'})

    def test_a_display_server_keeps_its_card(self):
        """The card's master is somebody else: nothing is dropped that is not ours."""
        master = os.open(node('BOCHS'), os.O_RDWR)
        try:
            status, report = doctor(node('BOCHS'))
            self.assertEqual((status, answers(report['importers'][0])['pages']), (0, YES))
            clients = pathlib.Path('/sys/kernel/debug/dri', os.path.basename(node('BOCHS'))[4:], 'clients').read_text(encoding='ascii')
            self.assertRegex(clients, rf'(?m)\b{os.getpid()}\s+\S+\s+y\b')
        finally:
            os.close(master)


def crtcs(name):
    """What a card shows, as the kernel tells it: frame counts and addresses left out."""
    state = pathlib.Path('/sys/kernel/debug/dri', os.path.basename(node(name))[4:], 'state').read_text(encoding='ascii')
    return re.findall(r'^\s*(?:enable|active|crtc|mode|format|size|allocated by)[=:].*$', state, re.MULTILINE)


class SelfTest(unittest.TestCase):
    """The kernel's own log of calls says that frames were streamed; that no answer is contradicted is the agreement of two ways to find out."""

    WORKS = {'proven': ('VIVID_VMALLOC', 'VIVID_VMALLOC_OUT', 'VIVID_VMALLOC_MPLANE', 'VIVID_VMALLOC_MPLANE_OUT', 'VKMS', 'BOCHS', 'CIRRUS'),
             'refused': ('VIVID_CONTIG', 'VIVID_CONTIG_OUT', 'VIVID_CONTIG_MPLANE', 'VIVID_CONTIG_MPLANE_OUT', 'VIRTIO_GPU'),
             'not-tried': ('VIM2M', 'VGEM')}

    def test_agrees_with_every_answer_and_leaves_all_as_it_was(self):
        cards = ('VKMS', 'BOCHS', 'CIRRUS')
        before = (LeavesAlone.state(self), [crtcs(card) for card in cards])
        plain = doctor()[1]
        status, tested = doctor('--self-test')
        self.assertEqual((LeavesAlone.state(self), [crtcs(card) for card in cards]), before)
        self.assertEqual(status, 0, tested)
        trials = {importer['node']: {memory: verdict.pop('self_test') for memory, verdict in importer['memory'].items()} for importer in tested['importers']}
        self.assertFalse([trial for trial in trials.values() for one in trial.values() if one['contradicts']], trials)
        self.assertEqual([{memory: told for memory, told in answers(importer).items() if memory != 'heap-mib'} for importer in tested['importers']],
                         [{memory: told for memory, told in answers(importer).items() if memory != 'heap-mib'} for importer in plain['importers']])
        for outcome, names in self.WORKS.items():
            for name in names:
                self.assertEqual(trials[node(name)]['pages']['outcome'], outcome, (name, trials[node(name)]))
        self.assertGreater(trials[node('VIVID_VMALLOC')]['pages']['bytes'], 0)
        self.assertEqual({trial['device']['outcome'] for trial in trials.values()}, {'not-tried'})

    def test_the_kernel_saw_it_stream(self):
        with ioctl_log('VIVID_VMALLOC') as seen:
            doctor('--self-test', node('VIVID_VMALLOC'))
            names = [name for name, _ in seen()]
        self.assertEqual([names.count(name) for name in ('VIDIOC_STREAMON', 'VIDIOC_DQBUF', 'VIDIOC_STREAMOFF')], [4, 4, 4], names)
        self.assertFalse({'VIDIOC_S_FMT', 'VIDIOC_S_PARM', 'VIDIOC_S_CTRL'} & set(names))

    def test_a_display_that_somebody_uses_is_not_touched(self):
        master = os.open(node('BOCHS'), os.O_RDWR)
        try:
            status, report = doctor('--self-test', node('BOCHS'))
        finally:
            os.close(master)
        self.assertEqual(status, 0)
        pages = report['importers'][0]['memory']['pages']['self_test']
        self.assertEqual((pages['outcome'], pages['operation'], pages['errno']), ('not-tried', 'SETCRTC', 'EBUSY'))

    def test_what_fails_in_one_memory_alone_contradicts(self):
        """vivid refuses to start once, for whatever it is given first: pages. In the others it works."""
        self.assertEqual(run('v4l2-ctl', '-d', node('VIVID_VMALLOC'), '--set-ctrl', 'inject_vidioc_streamon_error=1').returncode, 0)
        status, report = doctor('--self-test', node('VIVID_VMALLOC'))
        outcomes = {memory: (verdict['self_test']['outcome'], verdict['self_test']['contradicts']) for memory, verdict in report['importers'][0]['memory'].items()}
        self.assertEqual((outcomes['pages'], outcomes['huge-pages']), (('failed', True), ('proven', False)), report)
        self.assertEqual((status, report['exit_status']), (4, 4))


class Busy(unittest.TestCase):
    def test_a_streaming_camera_is_unknown_and_not_disturbed(self):
        device = node('VIVID_VMALLOC')
        with streaming(device) as source:
            status, report = doctor(device)
            self.assertEqual(status, 1)
            verdicts = report['importers'][0]['memory']
            self.assertEqual({(verdict['answer'], verdict['cause'], verdict['code']) for verdict in verdicts.values()}, {('unknown', 'busy', 'HL-IMP-004')})
            self.assertEqual({verdict['errno'] for verdict in verdicts.values()}, {'EBUSY'})
            self.assertEqual(len(source.stdout.read(320 * 180 * 3 // 2)), 320 * 180 * 3 // 2)
        status, report = doctor(device)
        self.assertEqual((status, answers(report['importers'][0])['pages']), (0, YES))


class AsksTheKernel(unittest.TestCase):
    def test_libv4l2_does_not_answer(self):
        """With libv4l2 in front of libc's open and ioctl, which converts from a format like this one, the kernel sees the same calls and gives the same answers."""
        self.assertTrue(LIBV4L2)
        set_format('VIVID_VMALLOC', 'YUYV', 640, 480)
        plain = doctor(node('VIVID_VMALLOC'))
        with ioctl_log('VIVID_VMALLOC') as seen:
            wrapped = doctor(node('VIVID_VMALLOC'), env={**os.environ, 'LD_PRELOAD': LIBV4L2[0]})
            calls = seen()
        self.assertEqual(wrapped, plain)
        self.assertEqual({name for name, _ in calls}, {'VIDIOC_QUERYCAP', 'VIDIOC_G_FMT', 'VIDIOC_REQBUFS', 'VIDIOC_QBUF'})
        self.assertEqual(sum('memory=dmabuf' in arguments for name, arguments in calls if name == 'VIDIOC_QBUF' or name == 'VIDIOC_REQBUFS'), 15)


class BadInput(unittest.TestCase):
    def test_what_is_no_importer(self):
        for path, code in (('/dev/video99', 'HL-IMP-001'), ('/etc/passwd', 'HL-IMP-003'), ('/dev', 'HL-IMP-003'), ('/dev/null', 'HL-IMP-003'), ('', 'HL-IMP-001')):
            with self.subTest(path):
                status, report = doctor(path)
                self.assertEqual((status, report['failures'][0]['code']), (3, code))
                self.assertTrue(report['failures'][0]['remedy'])
        done = run('hl-doctor', '--no-such-option')
        self.assertEqual((done.returncode, done.stdout), (2, ''))
        self.assertIn('--no-such-option', done.stderr)

    def as_nobody(self, device):
        return doctor(device, user=NOBODY, group=NOBODY, extra_groups=[])

    def test_no_permission(self):
        for device, rule in ((node('VIVID_VMALLOC'), 'SUBSYSTEM=="video4linux"'), (node('BOCHS'), 'SUBSYSTEM=="drm", KERNEL=="card*"')):
            with self.subTest(device):
                status, report = self.as_nobody(device)
                failure = report['failures'][0]
                self.assertEqual((status, failure['code']), (1, 'HL-IMP-002'))
                self.assertIn(f'may not open {device} (group root, mode 600)', failure['cause'])
                self.assertIn(f'{rule}, GROUP="video", MODE="0660"', failure['remedy'])

    def test_no_permission_on_udmabuf(self):
        device = node('VIVID_VMALLOC')
        mode = os.stat(device).st_mode
        os.chmod(device, 0o666)
        try:
            status, report = self.as_nobody(device)
        finally:
            os.chmod(device, mode)
        self.assertEqual(status, 1)
        self.assertEqual((report['host']['udmabuf']['usable'], report['host']['udmabuf']['errno']), (False, 'EACCES'))
        pages = report['importers'][0]['memory']['pages']
        self.assertEqual((pages['answer'], pages['cause'], pages['errno']), ('unknown', 'no-frame', 'EACCES'))
        self.assertIn('/dev/udmabuf', pages['text'])
        self.assertEqual(answers(report['importers'][0])['device'], SIMULATED)

    def test_udmabufs_size_limit(self):
        set_format('VIVID_VMALLOC', 'YUYV', 1280, 720)
        limit = UDMABUF_LIMIT.read_text(encoding='ascii')
        UDMABUF_LIMIT.write_text('1', encoding='ascii')
        try:
            status, report = doctor(node('VIVID_VMALLOC'))
        finally:
            UDMABUF_LIMIT.write_text(limit, encoding='ascii')
        self.assertEqual((status, report['host']['udmabuf']['limit_bytes']), (1, 1 << 20))
        pages = report['importers'][0]['memory']['pages']
        self.assertEqual(pages['cause'], 'no-frame')
        self.assertIn("limit of 1 MiB", pages['text'])
        self.assertIn('size_limit_mb', pages['remedy'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
