"use strict";

const WINDOWS = { lung: [-600, 1500], mediastinum: [40, 400] }; // middle and width, in Hounsfield units
const STEP = 5; // degrees that an arrow key turns the tree
const SPEED = 30; // degrees a second while the tree turns by itself
const STILL = 45; // degrees that it turns at once for those who want no motion
const FAST = 350_000; // pixels of the tree while it moves, so that old computers follow
const FINE = 2_500_000; // pixels of the tree at rest
const REACH = 8; // pixels from a branch that still mean it
const NEAR = 2; // mm from the wall of a branch that still mean it, in a slice
const ENDS = { S: "H", I: "F" }; // as CT pictures name them: head and feet
const [VERTICAL, BACK, LEFT] = [0, 1, 2];
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const colourOf = (generation) => data.palette[Math.min(generation, data.palette.length - 1)];
const own = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const planes = Object.entries(PLANES).map(([name, plane]) => ({
  name, ...plane, ends: Object.fromEntries(Object.entries(plane.ends).map(([side, end]) => [side, ENDS[end] || end])),
}));
const branches = data.branches.map(({ points, radius, ...rest }) => ({
  ...rest, points: points.map((value) => value / 10), radius: radius.map((value) => value / 100),
}));
const start = { turn: 0, tilt: 0, zoom: 1, across: 0, down: 0 };
const state = { at: [0, 0, 0], window: "lung", branch: -1, ...start };
let levels = null, labels = null;

/* Slices */

const sliceViews = [];

function addPlane(plane) {
  const { figure, canvas, frame } = sliceFigure(`plane ${plane.name}`), over = make("canvas", "over");
  const slider = make("div", "slider"), range = Object.assign(make("input", "slice"), { type: "range", min: 0, step: 1 });
  range.max = data.shape[plane.normal] - 1;
  range.setAttribute("aria-label", `slice of the ${plane.name} plane`);
  frame.append(over);
  slider.append(range);
  figure.append(slider);
  find(".quad").append(figure);
  const view = { plane, figure, canvas, over, range };
  sliceViews.push(view);
  range.addEventListener("input", () => { state.at[plane.normal] = Number(range.value); render(); });
  onWheel(canvas, () => data.shape[plane.normal] > 1, (by) => moveSlice(plane, by));
  onPoint(canvas, (event) => {
    pointAt(event, canvas, plane, state.at);
    if (event.type === "click") select(branchNear(state.at.map((i, axis) => i * data.spacing[axis])), false);
    render();
  });
  // the widest plane fills its cell, the others have its scale
  figure.style.maxWidth = `${(100 * extent(plane.across)) / Math.max(extent(LEFT), extent(BACK))}%`;
}

const extent = (axis) => data.shape[axis] * data.spacing[axis];

function moveSlice(plane, by) {
  const { normal } = plane, to = state.at[normal] + (data.reversed[normal] ? -by : by);
  state.at[normal] = Math.max(0, Math.min(data.shape[normal] - 1, to));
  render();
}

function greyLevels() {
  const [middle, width] = WINDOWS[state.window], { units, levels: stops } = data, grey = new Uint8Array(256);
  for (let level = 0, i = 0; level < 256; level++) {
    while (i + 2 < stops.length && level > stops[i + 1]) i++;
    const hounsfield = units[i] + ((level - stops[i]) / (stops[i + 1] - stops[i])) * (units[i + 1] - units[i]);
    grey[level] = Math.max(0, Math.min(255, Math.round(255 * ((hounsfield - middle) / width + 0.5))));
  }
  return grey;
}

function shownSlice(axis) {
  const index = data.reversed[axis] ? data.shape[axis] - 1 - state.at[axis] : state.at[axis];
  return Math.max(0, Math.min(data.whole[axis] - 1, Math.round(data.begin[axis] + data.steps[axis] * index)));
}

function drawSlice({ plane, figure, canvas, over, range }) {
  const { normal, down, across, name, ends } = plane, width = data.shape[across], height = data.shape[down];
  const words = `${name}, ${data.axes[normal]} = ${shownSlice(normal)} of 0 to ${data.whole[normal] - 1}`;
  find("figcaption", figure).replaceChildren(make("b", "", name), words.slice(name.length));
  canvas.setAttribute("aria-label", `CT, ${words}`);
  range.value = state.at[normal];
  range.setAttribute("aria-valuetext", words);
  figure.setAttribute("aria-busy", String(!levels));
  drawFrame(figure, plane, state.at, find(".cross").checked, ends);
  if (!levels) return;
  const picture = new ImageData(width, height), grey = greyLevels(), seen = labels && new Uint8Array(width * height);
  eachPixel(plane, state.at, (from, to) => {
    picture.data[4 * to] = picture.data[4 * to + 1] = picture.data[4 * to + 2] = grey[levels[from]];
    picture.data[4 * to + 3] = 255;
    if (seen) seen[to] = labels[from];
  });
  putVoxels(canvas, picture);
  canvas.dataset.slice = shownSlice(normal);
  const context = clearOver(over), wide = over.width / width;
  if (seen && find(".outlined").checked) outline(context, seen, width, height, wide, over.height / height);
  scaleBar(context, over, wide / data.spacing[across], 0.2 * Math.max(extent(LEFT), extent(BACK)), "#fff", "#000");
}

/** The edges of labelled pixels against others, each in the colour of its generation. */
function outline(context, seen, width, height, wide, high) {
  const paths = new Map();
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const label = seen[at];
      if (!label) continue;
      if (!paths.has(label)) paths.set(label, new Path2D());
      const path = paths.get(label), line = (x0, y0, x1, y1) => { path.moveTo(x0 * wide, y0 * high); path.lineTo(x1 * wide, y1 * high); };
      if (!x || !seen[at - 1]) line(x, y, x, y + 1);
      if (x === width - 1 || !seen[at + 1]) line(x + 1, y, x + 1, y + 1);
      if (!y || !seen[at - width]) line(x, y, x + 1, y);
      if (y === height - 1 || !seen[at + width]) line(x, y + 1, x + 1, y + 1);
    }
  }
  context.lineWidth = 1.5 * density();
  context.lineCap = "square";
  for (const [label, path] of paths) {
    context.strokeStyle = colourOf(label - 1);
    context.stroke(path);
  }
}

/* What is drawn over pictures */

const density = () => Math.min(3, Math.max(1, window.devicePixelRatio || 1));

function clearOver(over) {
  const box = over.parentElement.getBoundingClientRect();
  const width = Math.max(1, Math.round(box.width * density())), height = Math.max(1, Math.round(box.height * density()));
  if (over.width !== width || over.height !== height) Object.assign(over, { width, height });
  const context = over.getContext("2d");
  context.clearRect(0, 0, width, height);
  context.font = `${12 * density()}px system-ui, sans-serif`;
  return context;
}

/** A bar in the lower left corner, of a round length up to `room`, both in mm: `scale` pixels are one. */
function scaleBar(context, over, scale, room, colour, around) {
  const decade = 10 ** Math.floor(Math.log10(room));
  const long = decade * [5, 2, 1].find((digit) => digit * decade <= room), unit = density();
  const x = 10 * unit, y = over.height - 10 * unit;
  over.dataset.bar = JSON.stringify({ mm: long, pixels: (long * scale) / unit });
  for (const [hue, width] of [[around, 4], [colour, 2]]) {
    context.strokeStyle = hue;
    context.lineWidth = width * unit;
    context.beginPath();
    context.moveTo(x, y - 4 * unit);
    context.lineTo(x, y);
    context.lineTo(x + long * scale, y);
    context.lineTo(x + long * scale, y - 4 * unit);
    context.stroke();
  }
  write(context, `${Number(long.toPrecision(3))} mm`, x + long * scale + 6 * unit, y, colour, around, "left");
}

function write(context, text, x, y, colour, around, align = "center") {
  Object.assign(context, { textAlign: align, strokeStyle: around, fillStyle: colour, lineWidth: 2.5 * density(), lineJoin: "round" });
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

/* The tree */

const canvas = find(".tubes"), treeOver = find(".tree .over");
const tubes = new Tubes(branches.map(({ points, radius }) => ({ points, radius })));
const bounds = [0, 1, 2].map((axis) => {
  const values = branches.flatMap(({ points }) => points.filter((_, i) => i % 3 === axis));
  return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
});
const centre = bounds.map(([low, high]) => (low + high) / 2);
const size = bounds.map(([low, high]) => high - low + 10);

/** From mm upwards, to the back and to the left to what is seen: across, down and towards the eye, without its scale. */
function turned(up, back, left) {
  const [c, s, ct, st] = [state.turn, state.tilt].flatMap((a) => [Math.cos((a * Math.PI) / 180), Math.sin((a * Math.PI) / 180)]);
  const front = -back * c - left * s;
  return [left * c - back * s, -up * ct + front * st, front * ct + up * st];
}

/** Pixels a mm on the page. */
function treeScale(box) {
  return (0.94 * state.zoom * Math.min(box.width / Math.hypot(size[BACK], size[LEFT]), box.height / Math.hypot(size[VERTICAL], 0.2 * size[BACK])));
}

/** The place of a point, given in mm, in pixels of the page. */
function placed(point, box) {
  const scale = treeScale(box), [x, y, z] = turned(...point.map((value, axis) => value - centre[axis]));
  return [box.width / 2 + state.across + scale * x, box.height / 2 + state.down + scale * y, scale * z];
}

function drawTree(most) {
  const box = canvas.parentElement.getBoundingClientRect();
  if (!box.width) return;
  const finest = Math.min(2 * density(), 3), fine = Math.min(finest, Math.sqrt(most / (box.width * box.height)));
  const width = Math.max(1, Math.round(box.width * fine)), height = Math.max(1, Math.round(box.height * fine));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  const scale = treeScale(box) * fine, ground = rgb(own("--card")), x0 = width / 2 + state.across * fine, y0 = height / 2 + state.down * fine;
  const colours = branches.map(({ generation }, number) => {
    const colour = rgb(colourOf(generation)), faint = state.branch >= 0 && number !== state.branch;
    return faint ? colour.map((value, k) => 0.5 * value + 0.5 * ground[k]) : colour;
  });
  const project = (up, back, left) => {
    const [x, y, z] = turned(up - centre[0], back - centre[1], left - centre[2]);
    return [x0 + scale * x, y0 + scale * y, scale * z];
  };
  tubes.draw(picture, project, scale, { colours, background: ground, shown: state.branch });
  context.putImageData(picture, 0, 0);
  const over = clearOver(treeOver), text = own("--text");
  scaleBar(over, treeOver, treeScale(box) * density(), (0.28 * box.width) / treeScale(box), text, own("--card"));
  letters(over, text);
  marks(over, box);
  const degrees = (((Math.round(state.turn) % 360) + 360) % 360), words = viewWords();
  canvas.dataset.view = `${degrees} ${Math.round(state.tilt)} ${state.zoom.toFixed(2)}`;
  find(".angle").textContent = words;
  canvas.setAttribute("aria-label", `Tree of ${branches.length} branches, ${words}${state.branch >= 0 ? `; branch ${state.branch} is picked` : ""}`);
}

function viewWords() {
  const turn = (((Math.round(state.turn) + 180) % 360) + 360) % 360 - 180, tilt = Math.round(state.tilt);
  if (tilt === 90 && turn === 0) return "from above";
  const names = { 0: "from the front", 90: "from the person's right", "-90": "from the person's left", "-180": "from the back" };
  const side = names[turn] || `turned by ${turn}°`;
  return tilt ? `${side}, ${Math.abs(tilt)}° from ${tilt > 0 ? "above" : "below"}` : side;
}

/** The directions of the body, in the lower right corner. */
function letters(context, text) {
  const unit = density(), arm = 26 * unit, x = treeOver.width - 46 * unit, y = treeOver.height - 46 * unit;
  const arms = [["H", 1, 0, 0], ["F", -1, 0, 0], ["A", 0, -1, 0], ["P", 0, 1, 0], ["L", 0, 0, 1], ["R", 0, 0, -1]];
  const seen = arms.map(([name, ...direction]) => [name, ...turned(...direction)]).sort((a, b) => a[3] - b[3]);
  for (const [name, dx, dy, near] of seen) {
    context.globalAlpha = near < -0.5 ? 0.45 : 1;
    context.strokeStyle = text;
    context.lineWidth = unit;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + arm * dx, y + arm * dy);
    context.stroke();
    if (Math.hypot(dx, dy) > 0.3) write(context, name, x + 1.4 * arm * dx, y + 1.4 * arm * dy + 4 * unit, text, own("--card"));
  }
  context.globalAlpha = 1;
}

/** A ring around the branch that is picked, and a cross where the slices meet. */
function marks(context, box) {
  const unit = density();
  if (find(".cross").checked && state.branch < 0) {
    const [x, y] = placed(state.at.map((i, axis) => i * data.spacing[axis]), box).map((value) => value * unit);
    for (const [hue, width] of [[own("--card"), 4], [own("--ring"), 1.5]]) {
      Object.assign(context, { strokeStyle: hue, lineWidth: width * unit });
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx * unit, y + 4 * dy * unit);
        context.lineTo(x + 10 * dx * unit, y + 10 * dy * unit);
      }
      context.stroke();
    }
  }
  if (state.branch < 0) return;
  const branch = branches[state.branch], ends = [0, branch.radius.length - 1].map((i) => placed(pointOf(branch, i), box));
  const { point, radius } = middle(state.branch), [x, y] = placed(point, box).map((value) => value * unit);
  const reach = Math.hypot(ends[0][0] - ends[1][0], ends[0][1] - ends[1][1]) / 2 + radius * treeScale(box) + 6;
  for (const [hue, width] of [[own("--card"), 5], [own("--ring"), 2]]) {
    Object.assign(context, { strokeStyle: hue, lineWidth: width * unit });
    context.beginPath();
    context.arc(x, y, Math.max(12, Math.min(60, reach)) * unit, 0, 2 * Math.PI);
    context.stroke();
  }
}

/* Branches */

const pointOf = ({ points }, i) => points.slice(3 * i, 3 * i + 3);
const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** The point halfway along a branch, and the radius there. */
function middle(number) {
  const branch = branches[number], { radius } = branch, steps = radius.slice(1).map((_, i) => apart(pointOf(branch, i), pointOf(branch, i + 1)));
  let rest = steps.reduce((a, b) => a + b, 0) / 2, i = 0;
  while (i < steps.length - 1 && rest > steps[i]) rest -= steps[i++];
  const share = steps[i] ? rest / steps[i] : 0, a = pointOf(branch, i), b = pointOf(branch, i + 1);
  return { point: a.map((value, k) => value + share * (b[k] - value)), radius: radius[i] };
}

function branchNear(place) {
  let best = -1, nearest = NEAR;
  branches.forEach((branch, number) => branch.radius.forEach((radius, i) => {
    const away = apart(pointOf(branch, i), place) - radius;
    if (away < nearest) [best, nearest] = [number, away];
  }));
  return best;
}

function select(number, moves = true) {
  state.branch = number;
  const picked = number < 0 ? null : rowOf(number);
  for (const row of document.querySelectorAll("tbody tr")) {
    const here = row === picked;
    row.classList.toggle("now", here);
    Object.assign(find("button", row), { ariaPressed: String(here), tabIndex: here ? 0 : -1 }); // keys reach the others
  }
  find(".picked").textContent = number < 0 ? "" : wordsOf(number);
  if (number >= 0) {
    if (moves) state.at = voxelOf(middle(number).point);
    const list = find(".rows"), head = find("thead").offsetHeight; // the page itself stays where it is
    const top = picked.offsetTop - head, bottom = picked.offsetTop + picked.offsetHeight;
    if (top < list.scrollTop || bottom > list.scrollTop + list.clientHeight) {
      list.scrollTo({ top: top - list.clientHeight / 3, behavior: calm.matches ? "auto" : "smooth" });
    }
  }
  render();
}

const voxelOf = (point) => point.map((value, axis) => Math.max(0, Math.min(data.shape[axis] - 1, Math.round(value / data.spacing[axis]))));
const rowOf = (number) => find(`button[data-branch="${number}"]`).closest("tr");

function wordsOf(number) {
  const heads = [...document.querySelectorAll("thead th")].map((head) => head.textContent);
  const cells = [...rowOf(number).children].map((cell) => cell.textContent);
  const rest = heads.slice(1).map((head, i) => [head.replace(/ \((.*)\)$/, ""), cells[i + 1], (head.match(/\((.*)\)$/) || ["", ""])[1]]);
  const said = rest.filter(([, cell]) => cell).map(([head, cell, unit]) => `${head.toLowerCase()} ${cell}${unit ? ` ${unit}` : ""}`);
  return `Branch ${number}: ${said.join(", ")}`;
}
