"use strict";

const PACE = 400; // milliseconds a step while playing

function view(section) {
  const find = (selector) => section.querySelector(selector);
  const data = JSON.parse(find(".data").textContent);
  const slider = find(".step"), button = find(".play"), marker = find(".marker");
  const last = data.frames.length - 1;
  let timer = null, halted = false; // halted: while playing, by the button, so that it may resume

  function put(panel, caption, source, words) {
    find(panel + " img").src = source;
    find(panel + " img").alt = words;
    if (caption) find(panel + " figcaption").textContent = caption;
  }

  function show() {
    const step = Number(slider.value);
    const picked = section.querySelector(".choice input:checked");
    const baseline = picked && Number(picked.value) > 0 ? data.baselines[Number(picked.value) - 1] : null;
    const frame = baseline || data.frames[step];
    const method = baseline ? baseline.name : `${data.method}, step ${step}`;
    put(".estimate", `Estimate: ${method}, ${frame.psnr}`, frame.picture, `Estimate: ${method}`);
    put(".error", `Error of ${method}`, frame.error, `Absolute error of the estimate: ${method}`);
    const words = `step ${step} of ${last}: ${data.frames[step].psnr}`;
    find(".where").textContent = baseline ? `${method}: ${frame.psnr}` : words;
    slider.setAttribute("aria-valuetext", words);
    marker.toggleAttribute("hidden", baseline !== null);
    marker.setAttribute("cx", data.points[step][0]);
    marker.setAttribute("cy", data.points[step][1]);
  }

  function showIterates() {
    const own = find(".choice input");
    if (own) own.checked = true;
  }

  function pause(resumable = false) {
    clearInterval(timer);
    timer = null;
    halted = resumable;
    button.textContent = halted ? "Resume" : "Play";
  }

  function advance() {
    slider.value = Number(slider.value) + 1;
    show();
    if (Number(slider.value) >= last) pause();
  }

  function play() {
    if (!halted) slider.value = 0;
    showIterates();
    show();
    button.textContent = "Pause";
    timer = setInterval(advance, PACE);
  }

  button.addEventListener("click", () => (timer === null ? play() : pause(true)));
  slider.addEventListener("input", () => { pause(); showIterates(); show(); });
  for (const option of section.querySelectorAll(".choice input")) {
    option.addEventListener("change", () => { pause(); show(); });
  }
  show();
}

document.querySelectorAll(".problem").forEach(view);
