"use strict";

const PACE = 400; // milliseconds a step while playing
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

function levels({ key, text }) {
  const held = known.get(key);
  if (held instanceof Uint8Array) return held;
  if (!held) {
    known.set(key, decode(`data:image/png;base64,${text}`, data.shape, data.columns).then((volume) => { known.set(key, volume); render(); }));
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
  const { figure, canvas } = sliceFigure(`${what.kind} panel`);
  const scale = make("div", "scale");
  scale.append(make("span", "", "0"), make("i", ""), make("span", "white"), make("span", "unit", "of the peak"));
  figure.append(scale);
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
  eachPixel(PLANES[planeOf(view)], state.at, (from, pixel) => {
    const value = truth ? Math.abs(volume[from] - truth[from]) * state.gain : volume[from] * state.brightness, to = 4 * pixel;
    out[to] = out[to + 1] = out[to + 2] = value;
    out[to + 3] = 255;
  });
  return true;
}

function draw(view) {
  const plane = PLANES[planeOf(view)], { canvas, figure } = view;
  const picture = new ImageData(data.shape[plane.across], data.shape[plane.down]);
  const ready = grey(view, picture.data);
  figure.setAttribute("aria-busy", String(!ready));
  if (ready) {
    putVoxels(canvas, picture);
    canvas.dataset.plane = planeOf(view);
    canvas.dataset.slice = shownSlice(plane.normal);
  }
  drawFrame(figure, plane, state.at, find(".cross").checked, data.told ? plane.ends : null);
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
  const { canvas } = view;
  onWheel(canvas, () => data.shape[PLANES[planeOf(view)].normal] > 1, (by) => moveSlice(planeOf(view), by));
  onPoint(canvas, (event) => { pointAt(event, canvas, PLANES[planeOf(view)], state.at); render(); });
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
