# SPDX-License-Identifier: LGPL-2.1-or-later
"""hl-doctor's routes beside what the kernel itself says when the drivers attach: for one topology each, in the gaudi_doctor tests."""

import json
import os
import re
import subprocess
import tempfile
import unittest

# drivers/pci/p2pdma.c, at every attachment to a dma-buf of habanalabs that no route leads to.
REFUSAL = re.compile(r'(\S+): cannot be used for peer-to-peer DMA as (?:the client and provider \(([0-9a-f:.]+)\) do not share|it is not a PCI device)')
PCI = re.compile(r'[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]')


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def report(*arguments):
    done = run('hl-doctor', '--json', *arguments)
    if not done.stdout:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


def kernel_log():
    return run('dmesg').stdout.splitlines()


def routes(found):
    """{node: (route, where the ways meet, ports that redirect)}: what sysfs alone tells."""
    return {peer['node']: (peer['route'], peer['meeting'], peer['acs_redirect']) for peer in found['peers']}


class PeerDoctor(unittest.TestCase):
    CARD = None     # route and verdict of the capture card, whose driver allows peer memory

    @classmethod
    def setUpClass(cls):
        before = len(kernel_log())
        cls.found = report()
        cls.said = kernel_log()[before:]

    def peer(self, node):
        return next(peer for peer in self.found['peers'] if peer['node'] == os.environ[node])

    def test_the_kernel_refuses_whom_the_doctor_refuses(self):
        refused = {found.group(1) for line in self.said if (found := REFUSAL.search(line)) and PCI.fullmatch(found.group(1))}
        mine = {peer['pci'] for peer in self.found['peers'] if peer['route'] == 'refused'}
        reached = {peer['pci'] for peer in self.found['peers'] if peer['route'] in ('switch', 'host-bridge')}
        self.assertEqual(refused, mine, self.said)
        self.assertFalse(refused & reached)
        self.assertEqual({peer['gaudi'] for peer in self.found['peers']}, {os.environ['HL_VM_GAUDI_PCI']})

    def test_what_is_no_pci_device_is_none_to_the_kernel(self):
        devices = {peer['node']: peer['pci'] for peer in self.found['peers']}
        self.assertEqual(devices[os.environ['HL_VM_VIVID_VMALLOC']], '')
        self.assertEqual(self.peer('HL_VM_VIVID_CONTIG')['verdict'], 'refused')
        self.assertIn('it is not a PCI device', '\n'.join(self.said))

    def test_the_card(self):
        card = self.peer('HL_VM_CARD')
        self.assertEqual((card['route'], card['verdict']), self.CARD, card['text'])
        device = next(one['memory']['device'] for one in self.found['importers'] if one['node'] == os.environ['HL_VM_CARD'])
        proven = card['verdict'] == 'proven'
        self.assertEqual((device['answer'], device['proof'], device['errno']), ('imports', 'map', '') if proven else ('refused', 'none', 'EPERM'), device)
        self.assertEqual(bool(card['remedy']), not proven)

    def test_the_self_test_agrees(self):
        """Two ways to one answer: what a driver said to a frame, and what the Gaudi's own DMA finds in one that the driver was let work with."""
        tested = report('--self-test')
        trials = {(importer['node'], importer['kind']): {memory: verdict.pop('self_test') for memory, verdict in importer['memory'].items()} for importer in tested['importers']}
        self.assertFalse([one for trial in trials.values() for one in trial.values() if one['contradicts']], trials)
        reached = {peer['node'] for peer in self.found['peers'] if peer['verdict'] == 'proven'}
        self.assertEqual({node for (node, _), trial in trials.items() if trial['device']['outcome'] == 'proven'} - {os.environ['HL_VM_SCANOUT']}, reached, trials)
        card = trials[os.environ['HL_VM_CARD'], 'capture']['device']
        screen = trials[os.environ['HL_VM_SCANOUT'], 'display']['device']
        if self.CARD[1] == 'proven':
            self.assertEqual((card['outcome'], card['operation'], screen['outcome'], screen['operation']), ('proven', 'VIDIOC_DQBUF', 'proven', 'SETCRTC'))
            self.assertGreater(card['bytes'], 0)
        else:
            self.assertEqual((card['outcome'], card['errno'], screen['outcome']), ('refused', 'EPERM', 'refused'))
        now, before = ({peer['node']: (peer['kind'], peer['verdict']) for peer in found['peers']} for found in (tested, self.found))
        self.assertEqual(now[os.environ['HL_VM_SCANOUT']], ('display', self.CARD[1]))
        self.assertEqual(now[os.environ['HL_VM_BOCHS']], ('display', 'maps-by-cpu'))
        self.assertEqual({node: found for node, found in now.items() if found[0] != 'display'}, {node: found for node, found in before.items() if found[0] != 'display'})

    def test_the_gaudi_shows_all_its_memory(self):
        gaudi, = self.found['gaudis']
        self.assertEqual(gaudi['driver'], 'habanalabs')
        self.assertGreaterEqual(gaudi['window_bytes'], gaudi['memory_bytes'])
        self.assertEqual(self.found['device']['stand_in'], 'EMU')

    def test_a_saved_tree_says_the_same(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(run('hl-doctor', f'--save={directory}').returncode, 0)
            self.assertEqual(routes(report(f'--root={directory}')), routes(self.found))

    def test_a_user_is_told_of_the_permission(self):
        done = subprocess.run(['hl-doctor', '--json', '/dev/null'], capture_output=True, text=True, timeout=60, check=False, user=65534, group=65534, extra_groups=[])
        self.assertEqual(json.loads(done.stdout)['device']['error']['code'], 'HL-DEV-003', done.stdout)
