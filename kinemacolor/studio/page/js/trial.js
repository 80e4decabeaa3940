// The shot tried out: frames play as they are colored, with before and after, and the confidence on top.
import { picture, post, remove } from "./api.js";
import { attempt, fill, h, icon } from "./dom.js";
import { filmPath, on, store } from "./store.js";

export function trialPanel(signal, { correct, close }) {
  const canvas = h("canvas", { class: "canvas", role: "img", "aria-label": "The shot in color" });
  const bars = h("div", { class: "bars", role: "group", "aria-label": "Frames by confidence" });
  const status = h("p", { class: "status-line", role: "status" });
  const compare = h("input", { type: "range", min: "0", max: "100", value: "0", "aria-label": "Before and after", oninput: draw });
  const overlay = h("input", { type: "checkbox", onchange: draw });
  const playButton = h("button", { onclick: () => setPlaying(!playing), title: "P" });
  const correctButton = h("button", { class: "primary", onclick: () => shown !== null && correct(shown) }, icon("brush"), "Correct here");
  const nextButton = h("button", { onclick: () => { const frame = weakest(); if (frame !== null) correct(frame); } }, icon("next"), "Paint the weakest next");
  const element = h("div", { class: "trial", hidden: true }, canvas, bars, h("div", { class: "controls" },
    playButton, h("label", { class: "field inline" }, h("span", {}, "Compare"), compare),
    h("label", { class: "check" }, overlay, "Confidence"), h("span", { class: "spacer" }), nextButton, correctButton,
    h("button", { onclick: leave }, icon("close"), "Back to painting")), status);

  let job = null;
  let frames = new Map();
  let shown = null;
  let playing = false;
  let begun = 0;
  let place = 0;
  let clockStart = 0;

  function setPlaying(value) {
    playing = value;
    fill(playButton, icon(value ? "pause" : "play"), value ? "Pause" : "Play");
    clockStart = performance.now();
    if (value) requestAnimationFrame(advance);
  }

  async function start(frame) {
    frames = new Map();
    shown = null;
    place = frame;
    begun = performance.now();
    compare.value = "0";
    delete canvas.dataset.first;
    fill(bars);
    draw();
    status.textContent = "Coloring the frames around this one…";
    job = null;
    const record = await attempt(() => post(filmPath("/tries"), { frame }));
    if (!record) { leave(); return; }
    job = record.id;
    const late = store.jobs.get(record.id);
    if (late?.state === "failed") status.textContent = late.last?.message ?? "The trial failed.";
  }

  function leave() {
    if (job && store.jobs.get(job)?.state === "running") attempt(() => remove(`jobs/${job}`));
    setPlaying(false);
    close();
  }

  async function colored(event) {
    const source = job;
    const known = frames.get(event.frame);
    const entry = { ...event, ...(known?.color ? { color: known.color, gray: known.gray, over: known.over } : {}) };
    frames.set(event.frame, entry);
    drawBars();
    const stamp = event.final ? "final" : "first";
    const [color, gray, over] = await Promise.all(["color", "gray", "confidence"].map((layer) =>
      picture(`api/jobs/${source}/frames/${event.frame}.${layer}?v=${stamp}`).catch(() => null)));
    if (source !== job || frames.get(event.frame) !== entry || !color) return;
    Object.assign(entry, { color, gray, over });
    if (shown === null || (shown === event.frame)) { shown = event.frame; draw(); }
    if (!canvas.dataset.first) canvas.dataset.first = ((performance.now() - begun) / 1000).toFixed(2);
    if (!playing && event.final && ready().length >= 6 && !canvas.dataset.paused) setPlaying(true);
  }

  const ready = () => [...frames.values()].filter((one) => one.color).map((one) => one.frame).sort((a, b) => a - b);
  const weakest = () => [...frames.values()].reduce((low, one) => (low === null || one.confidence < frames.get(low).confidence ? one.frame : low), null);

  function advance(now) {
    if (!playing || signal.aborted || element.hidden) return;
    const list = ready();
    if (list.length) {
      const next = list[Math.floor(((now - clockStart) / 1000) * store.film.rate) % list.length];
      if (next !== shown) { shown = next; draw(); }
    }
    requestAnimationFrame(advance);
  }

  function draw() {
    const entry = frames.get(shown);
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.max(1, width * ratio);
    canvas.height = Math.max(1, height * ratio);
    const context = canvas.getContext("2d");
    if (!entry?.color) return;
    const scale = Math.min((width - 24) / store.film.width, (height - 24) / store.film.height) * ratio;
    const size = [store.film.width * scale, store.film.height * scale];
    const corner = [(canvas.width - size[0]) / 2, (canvas.height - size[1]) / 2];
    context.imageSmoothingQuality = "high";
    context.drawImage(entry.color, ...corner, ...size);
    if (overlay.checked && entry.over) context.drawImage(entry.over, ...corner, ...size);
    const split = (Number(compare.value) / 100) * size[0];
    if (split > 0 && entry.gray) {
      context.save();
      context.beginPath();
      context.rect(corner[0], corner[1], split, size[1]);
      context.clip();
      context.drawImage(entry.gray, ...corner, ...size);
      context.restore();
      context.fillStyle = "#fff";
      context.fillRect(corner[0] + split - ratio, corner[1], 2 * ratio, size[1]);
    }
    for (const bar of bars.children) bar.toggleAttribute("aria-current", Number(bar.dataset.frame) === shown);
    const text = `Frame ${entry.frame} · confidence ${entry.confidence.toFixed(2)}${entry.final ? "" : " · a first look"}`;
    if (status.textContent !== text && !playing) status.textContent = text;
  }

  function drawBars() {
    const list = [...frames.values()].sort((a, b) => a.frame - b.frame);
    const high = Math.max(...list.map((one) => one.confidence));
    const low = Math.min(high - 0.1, ...list.map((one) => one.confidence));
    fill(bars, ...list.map((one) => {
      const bar = h("button", { class: `bar ${one.final ? "" : "early"} ${one.confidence < 0.6 ? "low" : ""}`, "data-frame": String(one.frame),
        "aria-label": `Frame ${one.frame}, confidence ${one.confidence.toFixed(2)}`, title: `Frame ${one.frame}: ${one.confidence.toFixed(2)}`, tabindex: "-1",
        onclick: () => { setPlaying(false); canvas.dataset.paused = "1"; shown = one.frame; draw(); } }, h("i", {}));
      bar.firstChild.style.height = `${20 + (80 * (one.confidence - low)) / (high - low)}%`;
      return bar;
    }));
    for (const bar of bars.children) bar.toggleAttribute("aria-current", Number(bar.dataset.frame) === shown);
    const current = bars.querySelector("[aria-current]") ?? bars.firstChild;
    if (current) current.tabIndex = 0;
  }

  bars.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const list = ready();
    const next = list[Math.min(list.length - 1, Math.max(0, list.indexOf(shown) + step))];
    if (next === undefined) return;
    setPlaying(false);
    shown = next;
    draw();
    drawBars();
    bars.querySelector(`[data-frame="${next}"]`)?.focus();
  }, { signal });
  document.addEventListener("keydown", (event) => {
    if (element.hidden || event.target.closest("input:not([type=range]):not([type=checkbox]), select, dialog")) return;
    if (event.key === "p") setPlaying(!playing);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
  }, { signal });
  on("colored", ({ job: from, event }) => { if (from.id === job || (job === null && from.kind === "try" && from.state === "running" && from.project === store.film.id && !element.hidden)) { job ??= from.id; colored(event); } }, signal);
  on("job", ({ job: from, event }) => {
    if (from.id !== job) return;
    if (event?.kind === "finished") status.textContent = `${frames.size} frames are colored; the weakest is frame ${event.summary.weakest}.`;
    if (event?.kind === "failed") status.textContent = event.message;
  }, signal);
  new ResizeObserver(draw).observe(canvas);
  setPlaying(false);
  return {
    element,
    start,
    get open() { return !element.hidden; },
    show(open) { element.hidden = !open; if (open) { delete canvas.dataset.paused; draw(); } else { setPlaying(false); job = null; } },
    place: () => place,
  };
}
