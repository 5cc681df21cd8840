"use strict";

/* What moves */

let frame = 0, settle = 0;

/** Draw everything at the next frame, the tree coarsely, and finely once it rests. */
function render(what = "all") {
  if (what === "all") sliceViews.forEach(drawSlice);
  clearTimeout(settle);
  settle = setTimeout(() => drawTree(FINE), 120);
  if (!frame) frame = requestAnimationFrame(() => { frame = 0; drawTree(FAST); });
}

function turn(by, tilt) {
  state.turn += by;
  state.tilt = Math.max(-90, Math.min(90, state.tilt + tilt));
  render("tree");
}

/** Zoom by a factor, so that the place (x, y) of the picture, in pixels from its middle, stays where it is. */
function zoom(factor, x = 0, y = 0) {
  const to = Math.max(0.5, Math.min(20, state.zoom * factor)), by = to / state.zoom;
  state.across = x - by * (x - state.across);
  state.down = y - by * (y - state.down);
  state.zoom = to;
  render("tree");
}

let spinning = 0, spun = 0;

function stop() {
  cancelAnimationFrame(spinning);
  spinning = 0;
  find(".spin").setAttribute("aria-pressed", "false");
}

function spin() {
  if (spinning) { stop(); return; }
  if (calm.matches) { turn(STILL, 0); return; } // at once, without motion
  find(".spin").setAttribute("aria-pressed", "true");
  spun = performance.now();
  const on = (now) => {
    turn((SPEED * Math.min(100, Math.max(0, now - spun))) / 1000, 0);
    spun = now;
    spinning = requestAnimationFrame(on);
  };
  spinning = requestAnimationFrame(on);
}

function listenToPointers() {
  const held = new Map(); // pointer -> [x, y]
  let moved = 0;
  const fingers = () => {
    const [[ax, ay], [bx, by]] = [...held.values()];
    return { x: (ax + bx) / 2, y: (ay + by) / 2, apart: Math.hypot(ax - bx, ay - by) };
  };
  canvas.addEventListener("pointerdown", (event) => {
    stop();
    if (held.size === 0) moved = 0;
    held.set(event.pointerId, [event.clientX, event.clientY]);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) return;
    const [x, y] = held.get(event.pointerId), before = held.size === 2 ? fingers() : null;
    const dx = event.clientX - x, dy = event.clientY - y;
    held.set(event.pointerId, [event.clientX, event.clientY]);
    moved += Math.hypot(dx, dy);
    if (before) {
      const now = fingers(), box = canvas.getBoundingClientRect();
      state.across += now.x - before.x;
      state.down += now.y - before.y;
      zoom(now.apart / Math.max(before.apart, 1), now.x - box.left - box.width / 2, now.y - box.top - box.height / 2);
    } else if (held.size === 1 && event.shiftKey) {
      state.across += dx;
      state.down += dy;
      render("tree");
    } else if (held.size === 1 && moved > 3) turn(0.5 * dx, 0.5 * dy);
  });
  const release = (event) => {
    if (!held.delete(event.pointerId) || held.size || moved > 5 || event.type !== "pointerup") return;
    const box = canvas.getBoundingClientRect(), fine = canvas.width / box.width;
    const number = tubes.at((event.clientX - box.left) * fine, (event.clientY - box.top) * fine, REACH * fine);
    select(number);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.deltaY === 0) return;
    event.preventDefault();
    const box = canvas.getBoundingClientRect(), pixels = event.deltaY * (event.deltaMode === 0 ? 1 : NOTCH);
    zoom(Math.exp(-pixels / 500), event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
  }, { passive: false });
}

function press(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("select")) return;
  const on = event.target, slice = sliceViews.find((view) => view.canvas === on), by = event.shiftKey ? 3 * STEP : STEP;
  const rows = on.closest(".rows") ? { ArrowDown: 1, ArrowUp: -1 } : {};
  const next = { n: 1, p: -1 }[event.key.toLowerCase()] || rows[event.key];
  const turns = { ArrowRight: [by, 0], ArrowLeft: [-by, 0], ArrowDown: [0, by], ArrowUp: [0, -by] }[event.key];
  const slices = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
  if (next) select(((state.branch < 0 ? (next > 0 ? -1 : 0) : state.branch) + next + branches.length) % branches.length);
  else if (event.key === "Escape") select(-1);
  else if (on === canvas && turns) { stop(); turn(...turns); }
  else if (on === canvas && "+=-_".includes(event.key)) zoom("+=".includes(event.key) ? 1.25 : 0.8);
  else if (on === canvas && event.key === "0") { stop(); Object.assign(state, start); render("tree"); }
  else if (slice && slices) moveSlice(slice.plane, slices);
  else return;
  event.preventDefault();
}

/* The page */

function fillLegend() {
  const deepest = Math.max(...branches.map(({ generation }) => generation)), last = data.palette.length - 1;
  const list = find(".generations");
  list.append(make("li", "", "generation"));
  for (let generation = 0; generation <= Math.min(deepest, last); generation++) {
    const item = make("li", ""), colour = make("i", "");
    colour.style.background = colourOf(generation);
    item.append(colour, generation === last && deepest > last ? `${generation} and more` : String(generation));
    list.append(item);
  }
  for (const button of document.querySelectorAll("button[data-branch]")) {
    button.tabIndex = -1;
    find("i", button).style.background = colourOf(branches[Number(button.dataset.branch)].generation);
  }
}

function fillSettings() {
  const pick = find(".window");
  for (const [name, [level, width]] of Object.entries(WINDOWS)) {
    pick.append(Object.assign(make("option", "", `${name} (${level - width / 2} to ${level + width / 2} HU)`), { value: name }));
  }
  pick.addEventListener("change", () => { state.window = pick.value; render(); });
  find(".of-mask").hidden = !data.labels;
  for (const box of document.querySelectorAll(".settings input")) box.addEventListener("change", () => render());
  for (const button of document.querySelectorAll("[data-turn]")) {
    button.addEventListener("click", () => {
      stop();
      Object.assign(state, { turn: Number(button.dataset.turn), tilt: Number(button.dataset.tilt) });
      render("tree");
    });
  }
  find(".spin").addEventListener("click", spin);
  find(".closer").addEventListener("click", () => zoom(1.25));
  find(".farther").addEventListener("click", () => zoom(0.8));
  find("tbody").addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) select(Number(find("button", row).dataset.branch));
  });
}

async function open(pictures) {
  const [, height, width] = data.shape, whole = new Uint8Array(data.shape[0] * height * width);
  for (let i = 0; i < pictures.length; i++) {
    const from = i * data.slices, count = Math.min(data.slices, data.shape[0] - from);
    whole.set(await decode(pictures[i], [count, height, width], Math.ceil(Math.sqrt(count))), from * height * width);
    pictures[i] = ""; // nor twice in memory
  }
  return whole;
}

planes.forEach(addPlane);
fillLegend();
fillSettings();
listenToPointers();
document.addEventListener("keydown", press);
state.at = voxelOf(pointOf(branches[0], branches[0].radius.length - 1)); // where the trachea divides
for (const change of [matchMedia("(prefers-color-scheme: dark)"), calm]) change.addEventListener("change", () => { if (calm.matches) stop(); render(); });
new ResizeObserver(() => render()).observe(find(".quad"));
render();
(async () => {
  levels = await open(data.volume);
  if (data.labels) labels = await open(data.labels);
  render();
  document.documentElement.dataset.ready = "true";
})();
