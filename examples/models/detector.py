# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo detector (PyTorch; needed for training only) and its loss.

An anchor-free, decoupled head over strides 8, 16 and 32. The exported graph
gives one tensor 1 x (4 + classes) x N: cx, cy, w, h in pixels of the input,
then a probability per class. There is no objectness, and no NMS in the graph.
"""

import torch
from torch import nn
import torch.nn.functional as F

STRIDES = (8, 16, 32)


def conv(c_in, c_out, kernel=3, stride=1):
    return nn.Sequential(nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
                         nn.BatchNorm2d(c_out, momentum=0.03), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Squeezes the channels, looks around, widens again and adds."""

    def __init__(self, channels, inner):
        super().__init__()
        self.body = nn.Sequential(conv(channels, inner, 1), conv(inner, channels, 3))

    def forward(self, x):
        return x + self.body(x)


class Detector(nn.Module):
    def __init__(self, classes, side=320):
        super().__init__()
        self.classes, self.side = classes, side
        self.stem = nn.Sequential(conv(3, 10, 3, 2), conv(10, 20, 3, 2), Residual(20, 10))
        self.stage8 = nn.Sequential(conv(20, 40, 3, 2), Residual(40, 20))
        self.stage16 = nn.Sequential(conv(40, 64, 3, 2), Residual(64, 32), Residual(64, 32))
        self.stage32 = nn.Sequential(conv(64, 96, 3, 2), Residual(96, 48))
        self.pool = conv(96 * 3, 96, 1)
        self.side8, self.side16, self.side32 = conv(40, 32, 1), conv(64, 40, 1), conv(96, 48, 1)
        self.mix16, self.mix8 = conv(40 + 48, 40, 1), conv(32 + 40, 32, 1)
        self.join16, self.join8 = conv(40, 40), conv(32, 32)
        widths, towers = (32, 40, 48), (24, 32, 32)
        self.box_tower = nn.ModuleList(conv(w, t) for w, t in zip(widths, towers))
        self.class_tower = nn.ModuleList(conv(w, t) for w, t in zip(widths, towers))
        self.box_out = nn.ModuleList(nn.Conv2d(t, 4, 1) for t in towers)
        self.class_out = nn.ModuleList(nn.Conv2d(t, classes, 1) for t in towers)
        for box, cls in zip(self.box_out, self.class_out):
            nn.init.constant_(box.bias, 2.0)
            nn.init.constant_(cls.bias, -4.6)     # a probability of 0.01 everywhere at the start
        centres, strides = [], []
        for stride in STRIDES:
            n = side // stride
            y, x = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
            centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
            strides.append(torch.full((n * n,), float(stride)))
        self.register_buffer("centres", torch.cat(centres), persistent=False)      # N x 2, pixels
        self.register_buffer("strides", torch.cat(strides), persistent=False)      # N

    def features(self, x):
        f8 = self.stage8(self.stem(x))
        f16 = self.stage16(f8)
        f32 = self.stage32(f16)
        near = F.max_pool2d(f32, 5, 1, 2)
        f32 = self.pool(torch.cat([f32, near, F.max_pool2d(near, 5, 1, 2)], 1))
        p32 = self.side32(f32)
        p16 = self.join16(self.mix16(torch.cat([self.side16(f16), F.interpolate(p32, scale_factor=2.0)], 1)))
        p8 = self.join8(self.mix8(torch.cat([self.side8(f8), F.interpolate(p16, scale_factor=2.0)], 1)))
        return p8, p16, p32

    def raw(self, x):
        """(distances B x 4 x N in strides: left, top, right, bottom; class logits B x classes x N)."""
        boxes, logits = [], []
        for level, p in enumerate(self.features(x)):
            boxes.append(F.softplus(self.box_out[level](self.box_tower[level](p))).flatten(2))
            logits.append(self.class_out[level](self.class_tower[level](p)).flatten(2))
        return torch.cat(boxes, 2), torch.cat(logits, 2)

    def corners(self, distances):
        """x0, y0, x1, y1 in pixels, B x N x 4."""
        reach = (distances * self.strides).transpose(1, 2)
        return torch.cat([self.centres - reach[..., :2], self.centres + reach[..., 2:]], -1)

    def forward(self, x):
        distances, logits = self.raw(x)
        reach = distances * self.strides
        before, after = reach[:, :2], reach[:, 2:]
        middle = self.centres.t().unsqueeze(0) + (after - before) * 0.5
        return torch.cat([middle, before + after, logits.sigmoid()], 1)


def pair_iou(a, b):
    """IoU of boxes given by corners, broadcast over all but the last axis."""
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    size_a, size_b = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1), (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    return inner / (size_a + size_b - inner + 1e-6)


def distance_iou_loss(a, b):
    """1 - IoU, plus how far the centres are apart relative to the box around both."""
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = ((a[..., :2] + a[..., 2:]) - (b[..., :2] + b[..., 2:])).pow(2).sum(-1) / 4
    return 1 - pair_iou(a, b) + apart / (around.pow(2).sum(-1) + 1e-6)


@torch.no_grad()
def assign(centres, corners, probabilities, truth, valid, top=9):
    """Which cell answers for which object.

    A cell is a candidate for an object that its centre lies in; the best `top`
    by probability^0.5 * IoU^4 are taken, and a cell wanted by several objects
    goes to the one it overlaps most.
    centres N x 2, corners B x N x 4, probabilities B x N x C,
    truth B x M x 5 (class, corners), valid B x M.
    Returns (object index B x N or -1, quality B x N in 0..1).
    """
    batch, count = truth.shape[:2]
    n = centres.shape[0]
    boxes = truth[..., 1:]
    low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
    inside = ((centres > low) & (centres < high)).all(-1) & valid[..., None]           # B x M x N
    overlap = pair_iou(boxes[:, :, None], corners[:, None]) * inside
    index = truth[..., 0].long().clamp(min=0)[:, None].expand(batch, n, count)
    score = probabilities.gather(2, index).transpose(1, 2)                              # B x M x N
    merit = score.sqrt() * overlap.pow(4) * inside
    best, where = merit.topk(top, dim=2)
    chosen = torch.zeros_like(merit).scatter_(2, where, (best > 0).float()).bool() & inside
    overlap_chosen = torch.where(chosen, overlap, torch.full_like(overlap, -1.0))
    winner_overlap, winner = overlap_chosen.max(1)                                      # B x N
    owner = torch.where(winner_overlap >= 0, winner, torch.full_like(winner, -1))
    mine = chosen & (torch.arange(count)[None, :, None] == owner[:, None])
    merit = merit * mine
    top_merit = merit.amax(2, keepdim=True)
    top_overlap = (overlap * mine).amax(2, keepdim=True)
    quality = (merit / (top_merit + 1e-9) * top_overlap).amax(1)
    return owner, quality


def loss(model, distances, logits, truth, valid, blind):
    """(total, class part, box part); blind B x N marks cells that must not learn "nothing here"."""
    corners = model.corners(distances)
    logits = logits.transpose(1, 2)
    owner, quality = assign(model.centres, corners.detach(), logits.detach().sigmoid(), truth, valid)
    taken = owner >= 0
    target = torch.zeros_like(logits)
    picked = torch.gather(truth, 1, owner.clamp(min=0)[..., None].expand(-1, -1, 5))   # B x N x 5
    rows = taken.nonzero(as_tuple=True)
    target[rows[0], rows[1], picked[rows][:, 0].long()] = quality[rows]
    weight = (taken | ~blind).float()[..., None]
    total = quality.sum().clamp(min=1.0)
    class_loss = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum() / total
    box_loss = (distance_iou_loss(corners[rows], picked[rows][:, 1:]) * quality[rows]).sum() / total
    return class_loss + 3.0 * box_loss, class_loss.detach(), box_loss.detach()
