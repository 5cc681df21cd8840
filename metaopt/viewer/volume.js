"use strict";

const PACE = 400; // milliseconds a step while playing
const NOTCH = 30; // pixels of the wheel that are one slice; a mouse sends more at once, a touch pad less
const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector, root = document) => root.querySelector(selector);
const make = (tag, kind, text = "") => Object.assign(document.createElement(tag), { className: kind, textContent: text });

// Axes of the shown volume: 0 upwards, 1 to the back, 2 to the person's left. Rows of a picture run downwards.
const PLANES = {
  axial: { normal: 0, down: 1, across: 2, ends: { top: "A", bottom: "P", left: "R", right: "L" } },
  coronal: { normal: 1, down: 0, across: 2, ends: { top: "S", bottom: "I", left: "R", right: "L" } },
  sagittal: { normal: 2, down: 0, across: 1, ends: { top: "S", bottom: "I", left: "A", right: "P" } },
};
const named = Object.keys(PLANES);
const drawable = named.filter((name) => data.shape[PLANES[name].down] > 1 && data.shape[PLANES[name].across] > 1);
const planes = drawable.length ? drawable : ["axial"];
const pixels = (name) => data.shape[PLANES[name].down] * data.shape[PLANES[name].across];
const steps = [...new Set(data.methods.flatMap((method) => Object.keys(method.frames).map(Number)))].sort((a, b) => a - b);
const state = {
  place: 0, // index of the current step in `steps`
  at: data.shape.map((size) => Math.floor(size / 2)),
  plane: planes.reduce((best, name) => pixels(name) > 1.5 * pixels(best) ? name : best), // a few slices are shown flat
  brightness: data.brightness,
  gain: 5,
};

/* Volumes */

const known = new Map(); // address of a volume -> its grey levels, or a promise of them

function source(method, step) {
  return method === null ? { key: "target", text: data.target } : { key: `${method} ${step}`, text: data.methods[method].frames[step] };
}

async function decode(text) {
  const [slices, height, width] = data.shape;
  const picture = new Image();
  picture.src = `data:image/png;base64,${text}`;
  await picture.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: picture.naturalWidth, height: picture.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const colours = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const levels = new Uint8Array(slices * height * width);
  for (let z = 0, to = 0; z < slices; z++) {
    const top = Math.floor(z / data.columns) * height, left = (z % data.columns) * width;
    for (let y = 0; y < height; y++) {
      let from = 4 * ((top + y) * canvas.width + left);
      for (let x = 0; x < width; x++, from += 4) levels[to++] = colours[from];
    }
  }
  canvas.width = canvas.height = 0; // or the browser keeps its memory for a while
  return levels;
}

function levels({ key, text }) {
  const held = known.get(key);
  if (held instanceof Uint8Array) return held;
  if (!held) {
    known.set(key, decode(text).then((volume) => { known.set(key, volume); render(); }));
  }
  return null;
}

function frameOf(method) {
  const frames = Object.keys(data.methods[method].frames).map(Number);
  return Math.max(...frames.filter((step) => step <= steps[state.place]));
}

/* Pictures */

const views = []; // {figure, canvas, plane (null: the chosen one), what: {kind, method}}

function addView(parent, plane, what) {
  const figure = make("figure", `${what.kind} panel`), canvas = make("canvas", ""), frame = make("div", "view");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  frame.append(canvas, make("i", "down"), make("i", "across"));
  for (const side of ["top", "bottom", "left", "right"]) frame.append(make("span", side));
  const scale = make("div", "scale");
  scale.append(make("span", "", "0"), make("i", ""), make("span", "white"), make("span", "unit", "of the peak"));
  figure.append(make("figcaption", ""), frame, scale);
  parent.append(figure);
  const view = { figure, canvas, plane, what };
  views.push(view);
  listen(view);
  return view;
}

const planeOf = (view) => view.plane || state.plane;

function grey(view, out) {
  const { kind, method } = view.what;
  const volume = kind === "target" ? levels(source(null)) : levels(source(method, frameOf(method)));
  const truth = kind === "error" ? levels(source(null)) : null;
  if (!volume || (kind === "error" && !truth)) return false;
  const { normal, down, across } = PLANES[planeOf(view)], [, ny, nx] = data.shape, stride = [ny * nx, nx, 1];
  const height = data.shape[down], width = data.shape[across];
  for (let row = 0, to = 0; row < height; row++) {
    let from = state.at[normal] * stride[normal] + (down === 0 ? height - 1 - row : row) * stride[down];
    for (let column = 0; column < width; column++, from += stride[across], to += 4) {
      const value = truth ? Math.abs(volume[from] - truth[from]) * state.gain : volume[from] * state.brightness;
      out[to] = out[to + 1] = out[to + 2] = value;
      out[to + 3] = 255;
    }
  }
  return true;
}

function draw(view) {
  const plane = PLANES[planeOf(view)], { canvas, figure } = view;
  const width = data.shape[plane.across], height = data.shape[plane.down];
  const picture = new ImageData(width, height);
  const ready = grey(view, picture.data);
  figure.setAttribute("aria-busy", String(!ready));
  if (ready) {
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.getContext("2d").putImageData(picture, 0, 0);
    canvas.dataset.plane = planeOf(view);
    canvas.dataset.slice = shownSlice(plane.normal);
  }
  canvas.style.aspectRatio = `${width * data.spacing[plane.across]} / ${height * data.spacing[plane.down]}`;
  const column = state.at[plane.across], row = plane.down === 0 ? height - 1 - state.at[0] : state.at[plane.down];
  const crossed = find(".cross").checked;
  for (const line of figure.querySelectorAll(".view i")) line.hidden = !crossed;
  find(".down", figure).style.left = `${(100 * (column + 0.5)) / width}%`;
  find(".across", figure).style.top = `${(100 * (row + 0.5)) / height}%`;
  for (const side of ["top", "bottom", "left", "right"]) find(`.${side}`, figure).textContent = data.told ? plane.ends[side] : "";
  caption(view);
}

function wordsOf({ kind, method }) {
  if (kind === "target") return ["Target", ""];
  const { name, last, scores } = data.methods[method], step = frameOf(method);
  const where = `, step ${step}${step === last && step < steps[state.place] ? " (its last)" : ""}`;
  const score = Object.entries(scores).find(([measure]) => measure.startsWith("PSNR"));
  if (kind === "error") return [`Error of ${name}`, ` ×${state.gain}`];
  return [name, where + (score ? `: ${score[1][step]}` : "")];
}

function caption(view) {
  const [name, rest] = wordsOf(view.what), plane = planeOf(view), words = find("figcaption", view.figure);
  const where = view.plane ? `${placeWords(plane)}` : "";
  if (view.plane) words.replaceChildren(make("b", "", where));
  else words.replaceChildren(make("b", "", name), rest);
  view.canvas.setAttribute("aria-label", `${name}${rest}; step ${steps[state.place]}; ${placeWords(plane)}`);
  const error = view.what.kind === "error", white = error ? 1 / state.gain : 1 / state.brightness;
  find(".white", view.figure).textContent = `${error || white < 1 ? "≥ " : ""}${Number((100 * white).toPrecision(3))} %`;
}

const shownSlice = (axis) => (data.reversed[axis] ? data.shape[axis] - 1 - state.at[axis] : state.at[axis]);

function placeWords(plane) {
  const { normal } = PLANES[plane];
  if (data.single && !data.told) return "the slice";
  return `${plane}, ${data.axes[normal]} = ${shownSlice(normal)} of 0 to ${data.shape[normal] - 1}`;
}

/* What moves */

function render() {
  const last = steps[steps.length - 1], step = steps[state.place], slider = find(".step"), slice = find(".slice");
  slider.value = state.place;
  const words = `step ${step} of ${last}`;
  find(".where").textContent = words;
  slider.setAttribute("aria-valuetext", words);
  const axis = PLANES[state.plane].normal;
  slice.max = data.shape[axis] - 1;
  slice.value = shownSlice(axis);
  find(".at").textContent = `${data.axes[axis]} = ${shownSlice(axis)} of 0 to ${slice.max}`;
  slice.setAttribute("aria-valuetext", placeWords(state.plane));
  views.forEach(draw);
  mark();
}

function mark() {
  for (const chart of document.querySelectorAll(".chart")) {
    const [measure, points] = Object.entries(data.points).find(([name]) => name.startsWith(chart.dataset.score));
    const items = data.methods.map(({ name, last, scores }, i) => {
      const step = Math.min(steps[state.place], last), point = points[i][step];
      const marker = find(`.method-${i % 6}:nth-of-type(${i + 1}) .marker`, chart);
      marker.toggleAttribute("hidden", !point);
      if (point) [marker.cx.baseVal.value, marker.cy.baseVal.value] = point;
      const item = make("li", `method-${i % 6}`);
      item.append(make("i", ""), `${name}, step ${step}: ${scores[measure][step]}`);
      return item;
    });
    find(".legend", chart).replaceChildren(...items);
    const now = find(".now", chart), longest = Math.max(...data.methods.map((method) => method.last), 1);
    const x = 50 + (418 * steps[state.place]) / longest;
    now.setAttribute("x1", x);
    now.setAttribute("x2", x);
  }
}

function moveTo(place) {
  state.place = Math.max(0, Math.min(steps.length - 1, place));
  render();
}

function moveSlice(plane, by) {
  const { normal } = PLANES[plane], to = state.at[normal] + (data.reversed[normal] ? -by : by);
  state.at[normal] = Math.max(0, Math.min(data.shape[normal] - 1, to));
  render();
}

let timer = null, halted = false; // halted: while playing, by the button or a key, so that it may resume

function pause(resumable = false) {
  clearInterval(timer);
  timer = null;
  halted = resumable;
  find(".play").textContent = halted ? "Resume" : "Play";
}

function advance() {
  if (find('.methods [aria-busy="true"]')) return; // a step is not passed before it was seen
  moveTo(state.place + 1);
  if (state.place >= steps.length - 1) pause();
}

function toggle() {
  if (timer !== null) {
    pause(true);
    return;
  }
  if (!halted) moveTo(0);
  find(".play").textContent = "Pause";
  timer = setInterval(advance, PACE);
}

function listen(view) {
  let turned = 0;
  view.canvas.addEventListener("wheel", (event) => {
    const plane = planeOf(view);
    if (event.ctrlKey || event.deltaY === 0 || data.shape[PLANES[plane].normal] < 2) return;
    event.preventDefault();
    turned += event.deltaY * (event.deltaMode === 0 ? 1 : NOTCH);
    if (Math.abs(turned) < NOTCH) return;
    moveSlice(plane, Math.sign(turned));
    turned = 0;
  }, { passive: false });
  const point = (event) => {
    const plane = PLANES[planeOf(view)], box = view.canvas.getBoundingClientRect();
    const place = (part, size) => Math.max(0, Math.min(size - 1, Math.floor(part * size)));
    const row = place((event.clientY - box.top) / box.height, data.shape[plane.down]);
    state.at[plane.across] = place((event.clientX - box.left) / box.width, data.shape[plane.across]);
    state.at[plane.down] = plane.down === 0 ? data.shape[0] - 1 - row : row;
    render();
  };
  view.canvas.addEventListener("click", point);
  view.canvas.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" && event.buttons === 1) point(event); });
}

function press(event) {
  const on = event.target, own = on.closest("select, input[type=radio]"), focused = views.find((view) => view.canvas === on);
  if (event.altKey || event.ctrlKey || event.metaKey || own) return;
  const range = on.matches("input[type=range]") ? on.className : "";
  const slice = { ArrowUp: 1, ArrowDown: -1 }[event.key], step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const plane = focused ? planeOf(focused) : state.plane;
  if (slice && range !== "slice" && data.shape[PLANES[plane].normal] > 1) moveSlice(plane, slice);
  else if (step && !range) { pause(); moveTo(state.place + step); }
  else if (event.key === " " && !on.matches("button, input[type=checkbox]")) toggle();
  else return;
  event.preventDefault();
}

/* The page */

function fillSettings() {
  const option = (value, text) => Object.assign(make("option", "", text), { value });
  find(".brightness").append(...[1, 1.5, 2, 3, 5].map((value) => option(value, `×${value}`)));
  find(".gain").append(...[1, 2, 5, 10, 20].map((value) => option(value, `×${value}`)));
  find(".brightness").value = state.brightness;
  find(".gain").value = state.gain;
  find(".cross").checked = planes.length > 1;
  find(".of-error").hidden = !data.target;
  for (const name of planes) {
    const label = make("label", ""), radio = Object.assign(make("input", ""), { type: "radio", name: "plane", value: name, checked: name === state.plane });
    label.append(radio, make("span", "", name));
    radio.addEventListener("change", () => { state.plane = name; render(); });
    find(".planes").append(label);
  }
  find(".planes").hidden = planes.length < 2;
  find(".slices").hidden = planes.length < 2;
  find(".step").max = steps.length - 1;
  find(".bar").hidden = steps.length < 2;
  find(".brightness").addEventListener("change", (event) => { state.brightness = Number(event.target.value); render(); });
  find(".gain").addEventListener("change", (event) => { state.gain = Number(event.target.value); render(); });
  find(".cross").addEventListener("change", render);
  find(".play").addEventListener("click", toggle);
  find(".step").addEventListener("input", (event) => { pause(); moveTo(Number(event.target.value)); });
  find(".slice").addEventListener("input", (event) => {
    const axis = PLANES[state.plane].normal, value = Number(event.target.value);
    state.at[axis] = data.reversed[axis] ? data.shape[axis] - 1 - value : value;
    render();
  });
  document.addEventListener("keydown", press);
}

function fillMethods() {
  const grid = find(".methods"), count = data.methods.length;
  const wide = matchMedia("(min-width: 641px)");
  const kinds = data.target ? ["estimate", "error"] : ["estimate"];
  const cells = data.methods.flatMap((_, method) => kinds.map((kind, row) => ({ view: addView(grid, null, { kind, method }), row, column: method })));
  if (data.target) {
    const target = addView(grid, null, { kind: "target", method: null });
    if (count === 1) grid.insertBefore(target.figure, cells[1].view.figure);
    else cells.push({ view: target, row: 0, column: count });
  }
  const arrange = () => { // methods beside each other with their errors below; one method beside target and error
    const several = wide.matches && count > 1 && count < 5;
    const single = wide.matches && count === 1;
    grid.style.gridTemplateColumns = several || single ? `repeat(${several ? count + Number(!!data.target) : data.target ? 3 : 2}, minmax(0, 1fr))` : "";
    for (const { view, row, column } of cells) view.figure.style.gridArea = several ? `${row + 1} / ${column + 1}` : "";
  };
  wide.addEventListener("change", arrange);
  arrange();
}

function fillPlanes() {
  find(".three").hidden = planes.length < 2;
  if (planes.length < 2) return;
  const trio = planes.map((plane) => addView(find(".trio"), plane, { kind: "estimate", method: 0 }));
  const pictures = [
    ...data.methods.map(({ name }, method) => [name, { kind: "estimate", method }]),
    ...(data.target ? [["target", { kind: "target", method: null }]] : []),
    ...(data.target ? data.methods.map(({ name }, method) => [`error of ${name}`, { kind: "error", method }]) : []),
  ];
  const shown = find(".shown");
  shown.append(...pictures.map(([name], i) => Object.assign(make("option", "", name), { value: i })));
  shown.addEventListener("change", () => {
    for (const view of trio) view.what = pictures[shown.value][1];
    render();
  });
}

fillSettings();
fillMethods();
fillPlanes();
find(".about-steps").hidden = !find(".charts").children.length;
render();
(async () => { // the other steps are decoded while the first is looked at
  for (const step of steps) {
    for (const [method, { frames }] of data.methods.entries()) {
      if (!frames[step]) continue;
      levels(source(method, step));
      await known.get(`${method} ${step}`);
    }
  }
  document.documentElement.dataset.ready = "true";
})();
