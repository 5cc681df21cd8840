"use strict";

const NOTCH = 30; // pixels of the wheel that are one slice; a mouse sends more at once, a touch pad less
const SIDES = ["top", "bottom", "left", "right"];
const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector, root = document) => root.querySelector(selector);
const make = (tag, kind, text = "") => Object.assign(document.createElement(tag), { className: kind, textContent: text });

// Axes of the shown volume: 0 upwards, 1 to the back, 2 to the person's left. Rows of a picture run downwards.
const PLANES = {
  axial: { normal: 0, down: 1, across: 2, ends: { top: "A", bottom: "P", left: "R", right: "L" } },
  coronal: { normal: 1, down: 0, across: 2, ends: { top: "S", bottom: "I", left: "R", right: "L" } },
  sagittal: { normal: 2, down: 0, across: 1, ends: { top: "S", bottom: "I", left: "A", right: "P" } },
};

/** The grey levels (slices, height, width) of a picture in which so many columns of slices stand beside each other. */
async function decode(address, [slices, height, width], columns) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: picture.naturalWidth, height: picture.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const colours = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const levels = new Uint8Array(slices * height * width);
  for (let z = 0, to = 0; z < slices; z++) {
    const top = Math.floor(z / columns) * height, left = (z % columns) * width;
    for (let y = 0; y < height; y++) {
      let from = 4 * ((top + y) * canvas.width + left);
      for (let x = 0; x < width; x++, from += 4) levels[to++] = colours[from];
    }
  }
  canvas.width = canvas.height = 0; // or the browser keeps its memory for a while
  return levels;
}

/** A figure with a canvas for a slice, a crosshair and a letter at each side. */
function sliceFigure(kind) {
  const figure = make("figure", kind), canvas = make("canvas", ""), frame = make("div", "view");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  frame.append(canvas, make("i", "down"), make("i", "across"));
  for (const side of SIDES) frame.append(make("span", side));
  figure.append(make("figcaption", ""), frame);
  return { figure, canvas, frame };
}

/** Call `put(from, to)` for each pixel of a slice: its place in the volume, and in the picture from the upper left. */
function eachPixel(plane, at, put) {
  const { normal, down, across } = plane, [, ny, nx] = data.shape, stride = [ny * nx, nx, 1];
  const height = data.shape[down], width = data.shape[across];
  for (let row = 0, to = 0; row < height; row++) {
    let from = at[normal] * stride[normal] + (down === 0 ? height - 1 - row : row) * stride[down];
    for (let column = 0; column < width; column++, from += stride[across], to++) put(from, to);
  }
}

/** Give the frame of a slice its size in mm, and its crosshair and letters their places. */
function drawFrame(figure, plane, at, crossed, ends) {
  const width = data.shape[plane.across], height = data.shape[plane.down];
  find("canvas", figure).style.aspectRatio = `${width * data.spacing[plane.across]} / ${height * data.spacing[plane.down]}`;
  const column = at[plane.across], row = plane.down === 0 ? height - 1 - at[0] : at[plane.down];
  for (const line of figure.querySelectorAll(".view i")) line.hidden = !crossed;
  find(".down", figure).style.left = `${(100 * (column + 0.5)) / width}%`;
  find(".across", figure).style.top = `${(100 * (row + 0.5)) / height}%`;
  for (const side of SIDES) find(`.${side}`, figure).textContent = ends ? ends[side] : "";
}

/** Put a picture of voxels on a canvas. */
function putVoxels(canvas, picture) {
  const { width, height } = picture;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** Call `move(1 or -1)` for each notch by which the wheel is turned over a canvas, where `moves()` says that it can. */
function onWheel(canvas, moves, move) {
  let turned = 0;
  canvas.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.deltaY === 0 || !moves()) return;
    event.preventDefault();
    turned += event.deltaY * (event.deltaMode === 0 ? 1 : NOTCH);
    if (Math.abs(turned) < NOTCH) return;
    move(Math.sign(turned));
    turned = 0;
  }, { passive: false });
}

/** Move `at` to the voxel under a pointer. */
function pointAt(event, canvas, plane, at) {
  const box = canvas.getBoundingClientRect();
  const place = (part, size) => Math.max(0, Math.min(size - 1, Math.floor(part * size)));
  const row = place((event.clientY - box.top) / box.height, data.shape[plane.down]);
  at[plane.across] = place((event.clientX - box.left) / box.width, data.shape[plane.across]);
  at[plane.down] = plane.down === 0 ? data.shape[0] - 1 - row : row;
}

/** Call `point` for a click on a canvas, and while a mouse is dragged over it. */
function onPoint(canvas, point) {
  canvas.addEventListener("click", point);
  canvas.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" && event.buttons === 1) point(event); });
}
