#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Synthetic video scenes with exact ground truth.

Moving shapes of five classes over cluttered, noisy backgrounds, together with
things that belong to no class. Everything is a pure function of (domain, seed,
scene index, frame index, size, fps): the same arguments give the same bytes.

Needs numpy and Pillow only. As a program it writes raw RGB frames and the
ground truth:

    scenes.py --seed 20261121 --frames 300 --size 640x480 --fps 30 \\
              --out-rgb - --out-truth truth.json
"""

import argparse
import colorsys
import json
import math
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

LABELS = ("circle", "square", "triangle", "star", "cross")

# Training draws its scenes from another random stream than clips do, so that no
# clip seed whatever can show a scene that the model was trained on.
DOMAINS = {"clip": 1, "train": 2, "validation": 3}

SECONDS_PER_SCENE = 2.0
MIN_VISIBLE = 0.6     # objects with less of their area visible are "ignore"
MIN_SIDE = 0.06       # ... and so are those with a visible side below this * height
SUPERSAMPLE = 4
ANGLE_STEP = 2.0      # degrees; sprites are cached per step


def _ring(points, inner, phase=-math.pi / 2):
    """A polygon of 2 * points vertices, alternating between radius 1 and inner."""
    angles = phase + np.arange(2 * points) * math.pi / points
    radii = np.where(np.arange(2 * points) % 2 == 0, 1.0, inner)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _regular(points, phase=-math.pi / 2):
    angles = phase + np.arange(points) * 2 * math.pi / points
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _plus(half):
    h = half
    return np.array([(-h, -1), (h, -1), (h, -h), (1, -h), (1, h), (h, h), (h, 1), (-h, 1),
                     (-h, h), (-1, h), (-1, -h), (-h, -h)], dtype=float)


SHAPES = {
    "circle": _regular(72),
    "square": np.array([(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)]),
    "triangle": _regular(3),
    "star": _ring(5, 0.42),
    "cross": _plus(0.32),
}


def _crescent():
    outer = [(math.cos(a), math.sin(a)) for a in np.linspace(-2.2, 2.2, 40)]
    inner = [(0.75 * math.cos(a) - 0.25, 0.8 * math.sin(a)) for a in np.linspace(2.2, -2.2, 40)]
    return np.array(outer + inner)


# Things of no class, each clearly unlike every class.
DISTRACTORS = {
    "bar": np.array([(-1, -0.14), (1, -0.14), (1, 0.14), (-1, 0.14)]),
    "corner": np.array([(-1, -1), (-0.6, -1), (-0.6, 0.6), (1, 0.6), (1, 1), (-1, 1)]),
    "lens": _regular(48) * (1.0, 0.3),
    "crescent": _crescent(),
    "bolt": np.array([(0.1, -1), (-0.5, 0.15), (-0.05, 0.1), (-0.3, 1), (0.5, -0.25), (0.05, -0.2)]),
    "comb": np.array([(-1, -0.5), (1, -0.5), (1, 0.5), (0.7, 0.5), (0.7, -0.2), (0.15, -0.2),
                      (0.15, 0.5), (-0.15, 0.5), (-0.15, -0.2), (-0.7, -0.2), (-0.7, 0.5), (-1, 0.5)]),
}


def _area(points):
    """Of a polygon, counter-clockwise positive."""
    x, y = np.asarray(points, dtype=float).T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def _solidity(points):
    """Area over that of the convex hull: 1 for anything convex."""
    hull = []
    for half in (sorted(map(tuple, points)), sorted(map(tuple, points), reverse=True)):
        chain = []
        for p in half:
            while len(chain) > 1 and ((chain[-1][0] - chain[-2][0]) * (p[1] - chain[-2][1]) -
                                      (chain[-1][1] - chain[-2][1]) * (p[0] - chain[-2][0])) <= 0:
                chain.pop()
            chain.append(p)
        hull += chain[:-1]
    return abs(_area(points)) / _area(hull)


class _Sprite:
    """One moving thing. Its position is a closed function of time."""

    def __init__(self, rng, kind, polygon, label, track, radius, width, height, tone):
        self.kind, self.label, self.track = kind, label, track
        self.aspect = rng.uniform(0.92, 1.08) if label else 1.0
        self.polygon = polygon * (self.aspect, 1.0) * radius
        self.radius = radius
        span = rng.uniform(0.05, 0.45) * height
        heading = rng.uniform(0, 2 * math.pi)
        self.velocity = (span * math.cos(heading), span * math.sin(heading))
        # The centre bounces inside this box: a thing leaves the frame by a third at most.
        inset = radius * rng.uniform(0.45, 1.1)
        self.low = (inset, inset)
        self.high = (max(inset + 1, width - inset), max(inset + 1, height - inset))
        self.start = (rng.uniform(self.low[0], self.high[0]), rng.uniform(self.low[1], self.high[1]))
        self.angle = rng.uniform(-20, 20) if label else rng.uniform(0, 360)
        self.swing = rng.uniform(0, 12)
        self.swing_rate = rng.uniform(0.5, 3.0)
        self.fill, self.edge, least_edge = tone
        self.edge_width = max(rng.choice([0.0, 0.06, 0.1, 0.16]), least_edge)
        self.slope = rng.uniform(0.0, 0.22)
        self.slope_heading = rng.uniform(0, 2 * math.pi)
        self._cache = {}

    def centre(self, t):
        place = []
        for axis in (0, 1):
            low, span = self.low[axis], self.high[axis] - self.low[axis]
            u = math.fmod(self.start[axis] - low + self.velocity[axis] * t, 2 * span)
            u = u + 2 * span if u < 0 else u
            place.append(low + (u if u <= span else 2 * span - u))
        return place

    def pixels(self, t):
        """(rgb uint16 HxWx3, alpha uint16 HxWx1 in 0..256, solid bool HxW) at time t."""
        angle = self.angle + self.swing * math.sin(self.swing_rate * t)
        step = round(angle / ANGLE_STEP)
        if step not in self._cache:
            self._cache[step] = self._render(math.radians(step * ANGLE_STEP))
        return self._cache[step]

    def _render(self, angle):
        c, s = math.cos(angle), math.sin(angle)
        turned = self.polygon @ np.array([(c, s), (-s, c)])
        half = np.ceil(np.abs(turned).max(axis=0)).astype(int) + 1
        w, h = 2 * half
        big = (int(w) * SUPERSAMPLE, int(h) * SUPERSAMPLE)

        def mask(scale):
            image = Image.new("L", big, 0)
            ImageDraw.Draw(image).polygon(
                [tuple(p) for p in (turned * scale + half) * SUPERSAMPLE], fill=255)
            return np.asarray(image.resize((int(w), int(h)), Image.BOX), dtype=np.float32) / 255

        alpha = mask(1.0)
        yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
        along = ((xx - half[0]) * math.cos(self.slope_heading) +
                 (yy - half[1]) * math.sin(self.slope_heading)) / max(self.radius, 1)
        shade = (1 + self.slope * along)[..., None]
        rgb = np.asarray(self.fill, dtype=np.float32) * shade
        if self.edge_width > 0:
            inner = mask(1 - self.edge_width)[..., None]
            rgb = rgb * inner + np.asarray(self.edge, dtype=np.float32) * (1 - inner)
        # Coverage comes in sixteenths, rounded: "solid" is nine or more.
        return (np.clip(rgb, 0, 255).astype(np.uint16),
                (alpha * 256).astype(np.uint16)[..., None], alpha > 8.5 / 16)


class Scene:
    """One background and its moving things.

    Iterating yields (frame, truth) without end: frame is a uint8 array HxWx3
    (RGB, C-contiguous), truth a list of dicts {label, x, y, w, h, visible,
    ignore, track}; x, y, w, h are frame pixels (top left, size), tight on the
    visible part; visible is the share of the object's area that can be seen.
    `frame(i)` gives any frame directly.
    """

    def __init__(self, seed, width, height, fps, index=0, domain="clip", first_track=0):
        self.width, self.height, self.fps = width, height, float(fps)
        self._key = (DOMAINS[domain], seed, index)
        rng = np.random.default_rng(self._key)
        self._margin = max(8, height // 12)
        self._background = self._make_background(rng)
        self._pan = rng.uniform(-1, 1, 2) * self._margin
        self._pan_rate = rng.uniform(0.3, 1.2, 2)
        level = rng.choice([0.0, 2.0, 5.0, 9.0, 14.0])
        self._noise = None
        if level > 0:
            mono = rng.normal(0, level, (height + 32, width + 32, 1))
            self._noise = (mono + rng.normal(0, level / 2, (height + 32, width + 32, 3))).astype(np.int16)
        self._light = rng.uniform(-12, 12)
        self._sprites = self._make_sprites(rng, first_track)
        self.next_track = first_track + sum(1 for s in self._sprites if s.label)

    def __iter__(self):
        i = 0
        while True:
            yield self.frame(i)
            i += 1

    def frame(self, i):
        t = i / self.fps
        canvas = self._backdrop(t)
        truth = self._paste(canvas, t)
        return self._finish(canvas, i, t), truth

    # -- background -------------------------------------------------------

    def _make_background(self, rng):
        w, h = self.width + 2 * self._margin, self.height + 2 * self._margin
        base = rng.uniform(30, 225, 3)
        coarse = np.clip(base + rng.normal(0, rng.uniform(5, 35), (rng.integers(2, 7), rng.integers(2, 9), 3)), 0, 255)
        image = Image.fromarray(coarse.astype(np.uint8)).resize((w, h), Image.BICUBIC)
        pixels = np.asarray(image, dtype=np.float32)
        if rng.random() < 0.5:
            pixels = pixels + self._stripes(rng, w, h)[..., None] * rng.uniform(0.3, 1.0, 3)
        if rng.random() < 0.6:
            grain = rng.normal(0, rng.uniform(5, 25), (h // 8 + 1, w // 8 + 1))
            blotch = Image.fromarray(grain.astype(np.float32)).resize((w, h), Image.BILINEAR)
            pixels = pixels + np.asarray(blotch)[..., None]
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        self._mean = np.asarray(image.resize((1, 1), Image.BOX))[0, 0].astype(float)
        self._clutter(rng, image, w, h)
        if rng.random() < 0.3:
            image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 2.0)))
        return np.ascontiguousarray(np.asarray(image))

    @staticmethod
    def _stripes(rng, w, h):
        angle, period = rng.uniform(0, math.pi), rng.uniform(0.02, 0.25) * h
        x = np.arange(w, dtype=np.float32)[None] * math.cos(angle)
        y = np.arange(h, dtype=np.float32)[:, None] * math.sin(angle)
        wave = np.sin((x + y) * (2 * math.pi / period))
        if rng.random() < 0.4:
            wave = np.sign(wave)
        return wave * rng.uniform(4, 22)

    def _clutter(self, rng, image, w, h):
        draw = ImageDraw.Draw(image)
        mean = self._mean

        def tone(spread):
            return tuple(int(v) for v in np.clip(mean + rng.normal(0, spread, 3), 0, 255))

        def place():
            return rng.uniform(0, w), rng.uniform(0, h)

        for _ in range(rng.integers(0, 6)):        # large ragged patches
            cx, cy = place()
            draw.polygon([tuple(p) for p in self._ragged(rng) * rng.uniform(0.1, 0.45) * h + (cx, cy)], fill=tone(25))
        for _ in range(rng.integers(0, 14)):       # lines and arcs
            (x0, y0), (x1, y1) = place(), place()
            width = int(rng.integers(1, max(2, h // 80) + 1))
            if rng.random() < 0.3:
                r = rng.uniform(0.2, 0.7) * h
                start = rng.uniform(0, 360)
                draw.arc((x0 - r, y0 - r, x0 + r, y0 + r), start, start + rng.uniform(30, 120), fill=tone(50), width=width)
            else:
                draw.line((x0, y0, x1, y1), fill=tone(50), width=width)
        font = ImageFont.load_default()
        for _ in range(rng.integers(0, 8)):        # words
            text = "".join(rng.choice(list("AEFHKMNRSWZ2457 aehkmnrsz"), rng.integers(4, 18)))
            draw.text(place(), text, fill=tone(60), font=font)
        for _ in range(rng.integers(0, 4)):        # blocks that look like lines of print
            x, y = place()
            ink = tone(45)
            for row in range(rng.integers(2, 6)):
                at = x
                for _ in range(rng.integers(2, 6)):
                    long = rng.uniform(0.02, 0.07) * w
                    draw.rectangle((at, y + row * h / 45, at + long, y + row * h / 45 + h / 110), fill=ink)
                    at += long + w / 100
        for _ in range(rng.integers(0, 40)):       # specks
            x, y = place()
            r = rng.uniform(0.5, max(1.0, h / 240))
            draw.rectangle((x - r, y - r, x + r, y + r), fill=tone(70))

    @staticmethod
    def _ragged(rng):
        """A star-like outline within a unit circle, too ragged to pass for a circle, square or triangle."""
        best = None
        for _ in range(50):
            n = rng.integers(7, 13)
            radii, angles = rng.uniform(0.2, 1.0, n), np.sort(rng.uniform(0, 2 * math.pi, n))
            points = np.stack([radii * np.cos(angles), 0.7 * radii * np.sin(angles)], axis=1)
            solidity = _solidity(points)
            if best is None or solidity < best[0]:
                best = solidity, points
            if solidity < 0.6:
                break
        return best[1]

    def _backdrop(self, t):
        m = self._margin
        dx = int(round(m + self._pan[0] * math.sin(self._pan_rate[0] * t)))
        dy = int(round(m + self._pan[1] * math.sin(self._pan_rate[1] * t)))
        return self._background[dy:dy + self.height, dx:dx + self.width].copy()

    # -- things -----------------------------------------------------------

    def _tone(self, rng, contrast):
        """A fill colour at least `contrast` away from the background's mean if one is found soon, an edge colour,
        and the least width of the edge: a fill that is not far from the background's mean needs one to be seen."""
        best, best_distance = None, -1.0
        for _ in range(20):
            rgb = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.2, 1.0), rng.uniform(0.15, 1.0))) * 255
            distance = float(np.abs(rgb - self._mean).max())
            if distance > best_distance:
                best, best_distance = rgb, distance
            if distance >= contrast:
                break
        edge = best * 0.45 if best.mean() > 100 else best * 0.4 + 150
        return best, edge, 0.1 if best_distance < 110 else 0.0

    def _make_sprites(self, rng, track):
        h, sprites = self.height, []
        for _ in range(rng.integers(2, 7)):
            label = LABELS[rng.integers(len(LABELS))]
            radius = 0.5 * h * math.exp(rng.uniform(math.log(0.09), math.log(0.40)))
            sprites.append(self._with_room(rng, label, SHAPES[label], label, track, radius, 70, sprites))
            track += 1
        for _ in range(rng.integers(0, 5)):
            kind = list(DISTRACTORS)[rng.integers(len(DISTRACTORS))]
            radius = 0.5 * h * rng.uniform(0.08, 0.3)
            sprite = self._with_room(rng, kind, DISTRACTORS[kind], None, None, radius, 50, sprites)
            # Behind the objects as a rule, now and then in front of some.
            sprites.insert(0 if rng.random() < 0.75 else rng.integers(len(sprites) + 1), sprite)
        return sprites

    def _with_room(self, rng, kind, polygon, label, track, radius, contrast, others, tries=6):
        """Of several random sprites, the one that overlaps the others least over the scene's life."""
        best = None
        for _ in range(tries):
            sprite = _Sprite(rng, kind, polygon, label, track, radius, self.width, self.height, self._tone(rng, contrast))
            cost = 0.0
            for t in np.linspace(0, SECONDS_PER_SCENE, 9):
                x, y = sprite.centre(t)
                for other in others:
                    ox, oy = other.centre(t)
                    cost += max(0.0, radius + other.radius - math.hypot(x - ox, y - oy))
            if best is None or cost < best[0]:
                best = cost, sprite
        return best[1]

    def _paste(self, canvas, t):
        """Draws all sprites in order and measures what is left to see of each."""
        h, w = canvas.shape[:2]
        placed = []
        for sprite in self._sprites:
            rgb, alpha, solid = sprite.pixels(t)
            cx, cy = sprite.centre(t)
            x0, y0 = int(round(cx)) - rgb.shape[1] // 2, int(round(cy)) - rgb.shape[0] // 2
            ax, ay = max(0, x0), max(0, y0)
            bx, by = min(w, x0 + rgb.shape[1]), min(h, y0 + rgb.shape[0])
            if bx <= ax or by <= ay:
                continue
            cut = (slice(ay - y0, by - y0), slice(ax - x0, bx - x0))
            window = canvas[ay:by, ax:bx]
            a = alpha[cut]
            window[:] = ((window * (256 - a) + rgb[cut] * a) >> 8).astype(np.uint8)
            placed.append((sprite, ax, ay, solid[cut], int(solid.sum())))

        covered = np.zeros((h, w), dtype=bool)
        truth = []
        for sprite, ax, ay, solid, area in reversed(placed):
            window = covered[ay:ay + solid.shape[0], ax:ax + solid.shape[1]]
            seen = solid & ~window
            window |= solid
            if sprite.label is None or not seen.any():
                continue
            rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
            bw, bh = int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)
            visible = float(seen.sum()) / area
            truth.append({"label": sprite.label, "x": ax + int(columns[0]), "y": ay + int(rows[0]), "w": bw, "h": bh,
                          "visible": round(visible, 3), "track": sprite.track,
                          "ignore": visible < MIN_VISIBLE or min(bw, bh) < MIN_SIDE * h})
        truth.sort(key=lambda item: item["track"])
        return truth

    def _finish(self, canvas, i, t):
        light = int(round(self._light * math.sin(1.7 * t)))
        if self._noise is None and light == 0:
            return canvas
        if self._noise is None:
            return np.clip(canvas.astype(np.int16) + np.int16(light), 0, 255).astype(np.uint8)
        # A fixed field at a place that differs from frame to frame is noise enough, and cheap.
        dy, dx = np.random.default_rng(self._key + (i,)).integers(0, 33, 2)
        noisy = self._noise[dy:dy + self.height, dx:dx + self.width] + canvas
        if light:
            noisy += np.int16(light)
        return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def clip(seed, frames, width, height, fps, domain="clip"):
    """Yields (frame, truth) for a clip of several scenes, a new one about every two seconds."""
    per_scene = max(1, int(round(SECONDS_PER_SCENE * float(fps))))
    scene, track = None, 0
    for i in range(frames):
        if i % per_scene == 0:
            scene = Scene(seed, width, height, fps, index=i // per_scene, domain=domain, first_track=track)
            track = scene.next_track
        yield scene.frame(i % per_scene)


def parse_size(text):
    width, height = (int(part) for part in text.lower().split("x"))
    if min(width, height) < 64:
        raise argparse.ArgumentTypeError("the size must be at least 64x64")
    return width, height


def main(argv=None):
    parser = argparse.ArgumentParser(description="Write synthetic scenes as raw RGB frames, with ground truth.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", type=parse_size, default=(640, 480), metavar="WxH")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--out-rgb", metavar="FILE", help="raw RGB, no padding; - is standard output")
    parser.add_argument("--out-truth", metavar="FILE", help="JSON")
    args = parser.parse_args(argv)
    width, height = args.size

    out = None
    if args.out_rgb:
        out = sys.stdout.buffer if args.out_rgb == "-" else open(args.out_rgb, "wb")
    truth = []
    for pixels, boxes in clip(args.seed, args.frames, width, height, args.fps):
        if out:
            out.write(pixels.tobytes())
        truth.append(boxes)
    if out:
        out.flush()
        if out is not sys.stdout.buffer:
            out.close()
    if args.out_truth:
        with open(args.out_truth, "w", encoding="utf-8") as file:
            json.dump({"seed": args.seed, "width": width, "height": height, "fps": args.fps,
                       "labels": list(LABELS), "frames": truth}, file)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
