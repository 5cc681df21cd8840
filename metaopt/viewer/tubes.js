"use strict";

const LIGHT = [-0.42, -0.54, 0.73]; // towards the light: from the upper left, in front
const THINNEST = 0.9; // pixels of radius, so that no branch vanishes
const FOG = 0.45; // how much of the background is in the colour of what is farthest away

/**
 * Tubes along lines in space, drawn pixel by pixel with a depth buffer: no WebGL, which many browsers lack.
 *
 * A tube between two points is the space that a ball fills whose radius changes on the way. Of such a ball at
 * c(t) = a + t (b - a) with radius r, the ray through a pixel at distance p from the axis of the tube, seen from the
 * front, meets the surface where z(t) + sqrt(r^2 - p^2 - (s - t l)^2) is largest, s being the place along the axis and
 * l its length in the picture: at t = (s + sqrt(r^2 - p^2) dz / L) / l, with L the length in space.
 */
class Tubes {
  /** `lines`: for each tube {points: [x, y, z, ...], radius: [r, ...]}, in mm. */
  constructor(lines) {
    this.count = lines.reduce((sum, { radius }) => sum + radius.length, 0);
    this.points = new Float32Array(3 * this.count);
    this.radius = new Float32Array(this.count);
    this.owner = new Int32Array(this.count); // the number of the tube, or -1 - number where one ends
    let to = 0;
    lines.forEach(({ points, radius }, number) => {
      radius.forEach((r, i) => {
        for (let k = 0; k < 3; k++) this.points[3 * to + k] = points[3 * i + k];
        this.radius[to] = r;
        this.owner[to++] = i === radius.length - 1 ? -1 - number : number;
      });
    });
    this.seen = new Float32Array(3 * this.count);
    this.width = this.height = 0;
  }

  /**
   * Draw into a picture. `project(x, y, z)` gives [across, down, towards the eye] in pixels, and `scale` pixels are one
   * mm; the tube with the number `shown` is seen through all others.
   */
  draw(picture, project, scale, { colours, background, shown }) {
    const { width, height, data: pixels } = picture;
    if (width !== this.width || height !== this.height) {
      Object.assign(this, { width, height, depth: new Float32Array(width * height), owners: new Int32Array(width * height) });
    }
    this.depth.fill(-Infinity);
    this.owners.fill(-1);
    let near = -Infinity, far = Infinity;
    for (let i = 0; i < 3 * this.count; i += 3) {
      const [x, y, z] = project(this.points[i], this.points[i + 1], this.points[i + 2]);
      this.seen[i] = x; this.seen[i + 1] = y; this.seen[i + 2] = z;
      near = Math.max(near, z);
      far = Math.min(far, z);
    }
    const fog = FOG / Math.max(near - far, 1e-6);
    for (let i = 0; i + 1 < this.count; i++) {
      const number = this.owner[i];
      if (number >= 0) this.tube(i, scale, pixels, number, { colour: colours[number], background, near, fog, lift: number === shown ? 1e6 : 0 });
    }
  }

  tube(i, scale, pixels, number, { colour, background, near, fog, lift }) {
    const { seen, width, height, depth, owners } = this;
    const ax = seen[3 * i], ay = seen[3 * i + 1], az = seen[3 * i + 2];
    const dx = seen[3 * i + 3] - ax, dy = seen[3 * i + 4] - ay, dz = seen[3 * i + 5] - az;
    const ra = Math.max(THINNEST, scale * this.radius[i]), rb = Math.max(THINNEST, scale * this.radius[i + 1]);
    const flat = Math.hypot(dx, dy), long = Math.hypot(flat, dz), widest = Math.max(ra, rb);
    const upright = flat < 0.01, ux = upright ? 1 : dx / flat, uy = upright ? 0 : dy / flat, lean = long ? dz / long : 0;
    const top = Math.max(0, Math.floor(Math.min(ay, ay + dy) - widest)), bottom = Math.min(height - 1, Math.ceil(Math.max(ay, ay + dy) + widest));
    const left = Math.min(ax, ax + dx) - widest, right = Math.max(ax, ax + dx) + widest;
    for (let y = top; y <= bottom; y++) {
      const py = y + 0.5 - ay;
      let from = left, to = right;
      if (Math.abs(uy) > 0.01) { // only where the line is near
        const middle = ax + (py * ux) / uy, half = widest / Math.abs(uy);
        from = Math.max(from, middle - half);
        to = Math.min(to, middle + half);
      }
      const last = Math.min(width - 1, Math.ceil(to));
      for (let x = Math.max(0, Math.floor(from)); x <= last; x++) {
        const px = x + 0.5 - ax, along = px * ux + py * uy, beside = px * px + py * py - along * along;
        const share = upright ? (dz > 0 ? 1 : 0) : Math.max(0, Math.min(1, along / flat));
        const radius = ra + (rb - ra) * share, room = radius * radius - beside;
        if (room <= 0) continue;
        const t = upright ? share : Math.max(0, Math.min(1, (along + Math.sqrt(room) * lean) / flat));
        const off = upright ? along : along - t * flat, up = room - off * off;
        if (up < 0) continue;
        const rise = Math.sqrt(up), z = az + dz * t + rise, at = y * width + x;
        if (z + lift <= depth[at]) continue;
        depth[at] = z + lift;
        owners[at] = number;
        const nx = (px - t * dx) / radius, ny = (py - t * dy) / radius, nz = rise / radius;
        const lit = Math.max(0, nx * LIGHT[0] + ny * LIGHT[1] + nz * LIGHT[2]);
        const shade = 0.42 + 0.26 * nz + 0.42 * lit, mist = Math.min(FOG, (near - z) * fog) * (near > z ? 1 : 0);
        for (let k = 0; k < 3; k++) {
          pixels[4 * at + k] = (1 - mist) * Math.min(255, colour[k] * shade) + mist * background[k];
        }
        pixels[4 * at + 3] = 255;
      }
    }
  }

  /** The number of the tube at a pixel, or of the nearest within `reach` pixels, or -1. */
  at(x, y, reach) {
    let best = -1, nearest = Infinity;
    for (let row = Math.max(0, Math.ceil(y - reach)); row <= Math.min(this.height - 1, y + reach); row++) {
      for (let column = Math.max(0, Math.ceil(x - reach)); column <= Math.min(this.width - 1, x + reach); column++) {
        const number = this.owners[row * this.width + column], away = (row - y) ** 2 + (column - x) ** 2;
        if (number >= 0 && away < nearest && away <= reach * reach) [best, nearest] = [number, away];
      }
    }
    return best;
  }
}
