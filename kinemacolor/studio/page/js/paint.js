// Painting a key frame: strokes go to the studio, which answers with the picture that they make.
import { get, picture, post, put, remove, send } from "./api.js";
import { PictureView, drawStrokes } from "./canvas.js";
import { colorPanel } from "./color.js";
import { ask, attempt, fill, h, icon, note } from "./dom.js";
import { filmPath, goTo, on, shotAt, show, stillAt, store } from "./store.js";
import { chosenPicks } from "./strip.js";
import { trialPanel } from "./trial.js";

const TOOLS = [
  { name: "color", key: "b", icon: "brush", label: "Brush: color what belongs to the stroke" },
  { name: "area", key: "a", icon: "area", label: "Area: fill what the outline holds" },
  { name: "neutral", key: "n", icon: "neutral", label: "Neutral: this is gray" },
  { name: "open", key: "o", icon: "open", label: "No color here: the still says nothing" },
  { name: "engine", key: "e", icon: "engine", label: "Hand back: the film's own colors stay" },
  { name: "pick", key: "i", icon: "pick", label: "Pick a color from the picture" },
  { name: "hand", key: "h", icon: "hand", label: "Move the picture (or hold Space)" },
];

export function paintView(view, signal) {
  const film = store.film;
  if (!film.analyzed) {
    view.append(h("p", { class: "empty" }, "The film is still being read. Its frames can be painted when that is done."));
    on("film", () => { if (store.film.analyzed) show("paint"); }, signal);
    return;
  }
  const canvas = h("canvas", { class: "canvas", tabindex: "0", role: "img", "aria-label": "The frame; arrow keys move the point, Enter puts the brush down or lifts it" });
  const picked = { tool: "color", width: Math.max(6, Math.round(film.width / 90)), alike: false, strokes: true };
  const still = { frame: store.frame, revision: 0, ground: "gray", strokes: [], note: null, busy: 0 };
  const undo = [];
  const redo = [];
  let current = null;
  let point = null;
  let palette = null;
  let keep = Promise.resolve();
  const frameView = new PictureView(canvas, film.width, film.height);
  const status = h("p", { class: "status-line", role: "status" });
  const rail = h("div", { class: "rail-tools", role: "toolbar", "aria-label": "Tools" });
  const side = h("aside", { class: "side", "aria-label": "Color and still" });
  const actions = h("section", { class: "panel", "aria-label": "Strokes" });
  const stillPanel = h("section", { class: "panel", "aria-label": "This still" });
  const trial = trialPanel(signal, { correct: openFrame, close: () => setTrial(false) });
  const stage = h("section", { class: "stage paint", "aria-label": "The still" }, canvas, trial.element, status);
  const split = h("div", { class: "split painting" }, rail, stage, side);
  view.append(split);
  signal.addEventListener("abort", () => frameView.close());

  // --- the still --------------------

  const path = (rest = "") => filmPath(`/stills/${still.frame}${rest}`);

  async function openFrame(frame) {
    setTrial(false);
    still.frame = frame;
    goTo(frame);
    undo.length = 0;
    redo.length = 0;
    say("Opening the frame…");
    const shown = attempt(() => picture(`api/${filmPath(`/frames/${frame}.jpg`)}`)).then((image) => { if (image && still.frame === frame && !still.shown) frameView.show(image); });
    still.shown = false;
    const record = await attempt(() => get(path()));
    await shown;
    if (!record || signal.aborted || still.frame !== frame) return;
    take(record);
    const others = store.film.stills.some((one) => one.frame !== frame);
    if (record.revision === 0 && others && !record.strokes.length && !store.film.shots[shotAt(frame)].gray) await lay("film", true);
    else { await refresh(); say(""); }
    drawStill();
  }

  function take(record) {
    if (record.frame !== still.frame) return;
    Object.assign(still, { revision: record.revision, ground: record.ground, kept: record.kept, strokes: record.strokes });
    frameView.width = record.width;
    frameView.height = record.height;
    if (record.note && record.note !== still.note) note(record.note);
    still.note = record.note;
    drawStill();
  }

  async function refresh() {
    const frame = still.frame;
    const revision = still.revision;
    const image = await attempt(() => picture(`api/${path(`/picture.jpg?width=${Math.min(4096, frameView.width)}&v=${revision}`)}`));
    if (!image || signal.aborted || still.frame !== frame || revision < still.revision) return;
    still.shown = true;
    frameView.show(image);
    canvas.dataset.revision = String(revision);
  }

  const say = (text) => { status.textContent = text; };

  /** Sends a change; changes are sent one after the other, in their order. */
  function change(add, removed = []) {
    const gone = new Set(removed);
    still.strokes = [...still.strokes.filter((stroke) => !gone.has(stroke.id)), ...add];
    frameView.draw();
    still.busy += 1;
    const begin = performance.now();
    keep = keep.then(async () => {
      const record = await attempt(() => post(path("/strokes"), { base: still.revision, add, remove: removed }));
      still.busy -= 1;
      if (!record || signal.aborted) return;
      if (record.merged) note("Another page has painted this still as well; both have each other's strokes now.");
      if (!still.busy) { take(record); await refresh(); } else still.revision = record.revision;
      const elapsed = (performance.now() - begin) / 1000;
      canvas.dataset.seconds = elapsed.toFixed(2);
      say(`${still.strokes.length} stroke${still.strokes.length === 1 ? "" : "s"} · ${elapsed.toFixed(1)} s`);
    });
    drawStill();
    return keep;
  }

  function step(from, to) {
    const last = from.pop();
    if (!last) return;
    to.push(last);
    const forward = from === redo;
    if (forward === last.added) change([last.stroke]); else change([], [last.stroke.id]);
  }

  async function lay(ground, quiet = false) {
    say(ground === "film" ? "Looking at what the film gives here…" : "");
    const record = await (quiet ? put(path("/ground"), { ground }).catch(() => null) : attempt(() => put(path("/ground"), { ground })));
    if (record && !signal.aborted) take(record);
    await refresh();
    say(record && ground === "film" ? "This is what the film gives here; paint what is wrong." : "");
  }

  async function clear() {
    const sure = await ask("Remove this still?", "Its strokes and its picture are removed; the film is colored from the others.", [{ label: "Keep it", value: false }, { label: "Remove", value: true, main: true }]);
    if (!sure) return;
    const record = await attempt(() => remove(path()));
    if (!record) return;
    undo.length = 0;
    redo.length = 0;
    take(record);
    await refresh();
  }

  async function layPicture(file) {
    say(`Laying ${file.name} onto the frame…`);
    const record = await attempt(() => send(path("/picture"), file));
    if (record) { take(record); await refresh(); }
    say(record?.note ?? "");
  }

  // --- strokes --------------------

  const isPaint = (tool) => ["color", "area", "neutral", "open", "engine"].includes(tool);

  function begin(at) {
    const kind = picked.tool === "area" ? "color" : picked.tool;
    current = { id: crypto.randomUUID().replaceAll("-", ""), kind, points: [at], width: picked.width, area: picked.tool === "area", alike: picked.alike };
    current.color = kind === "color" ? palette.color : null;
    frameView.draw();
  }

  function extend(at) {
    const [x, y] = current.points.at(-1);
    if (Math.hypot(at[0] - x, at[1] - y) * frameView.scale < 2) return;
    current.points.push([Math.round(at[0] * 10) / 10, Math.round(at[1] * 10) / 10]);
    frameView.draw();
  }

  function finish() {
    const stroke = current;
    current = null;
    if (!stroke) return;
    if (stroke.area && stroke.points.length < 3) { frameView.draw(); return; }
    undo.push({ stroke, added: true });
    redo.length = 0;
    change([stroke]);
  }

  function pick(at) {
    const color = frameView.color(at);
    if (color) { palette.choose(color); say(`Picked ${color}`); setTool("color"); }
  }

  let moving = null;
  let space = false;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button === 1 || space || picked.tool === "hand") moving = [event.clientX, event.clientY];
    else if (event.button !== 0) return;
    else if (event.altKey || picked.tool === "pick") pick(frameView.place(event));
    else begin(frameView.place(event));
    canvas.setPointerCapture(event.pointerId);
  }, { signal });
  canvas.addEventListener("pointermove", (event) => {
    if (moving) {
      frameView.pan(event.clientX - moving[0], event.clientY - moving[1]);
      moving = [event.clientX, event.clientY];
      return;
    }
    point = frameView.place(event);
    if (current) for (const part of event.getCoalescedEvents?.() ?? [event]) extend(frameView.place(part));
    else frameView.draw();
  }, { signal });
  canvas.addEventListener("pointerup", () => { moving = null; finish(); }, { signal });
  canvas.addEventListener("pointercancel", () => { moving = null; current = null; frameView.draw(); }, { signal });
  canvas.addEventListener("pointerleave", () => { if (!current) { point = null; frameView.draw(); } }, { signal });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.shiftKey) frameView.pan(-event.deltaY, 0);
    else frameView.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  }, { signal, passive: false });
  for (const name of ["dragover", "drop"]) {
    stage.addEventListener(name, (event) => {
      event.preventDefault();
      if (name === "drop" && event.dataTransfer.files[0]) layPicture(event.dataTransfer.files[0]);
    }, { signal });
  }

  frameView.overlay = (context, pixel) => {
    if (picked.strokes) drawStrokes(context, still.strokes, pixel);
    if (current) drawStrokes(context, [current], pixel, { full: true });
    if (!point || !isPaint(picked.tool)) return;
    context.beginPath();
    context.arc(point[0], point[1], Math.max(picked.tool === "area" ? 2 * pixel : picked.width / 2, 2 * pixel), 0, 7);
    context.lineWidth = 3 * pixel;
    context.strokeStyle = "rgb(0 0 0 / .6)";
    context.stroke();
    context.lineWidth = 1.5 * pixel;
    context.strokeStyle = "#fff";
    context.stroke();
  };

  // --- keys --------------------

  function onCanvasKey(event) {
    const far = event.shiftKey ? 40 : 8;
    const steps = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
    const direction = steps[event.key];
    if (!direction && event.key !== "Enter") return false;
    point ??= [frameView.width / 2, frameView.height / 2];
    if (direction) {
      point = [point[0] + direction[0] / frameView.scale, point[1] + direction[1] / frameView.scale];
      if (current) extend(point);
    } else if (picked.tool === "pick") pick(point);
    else if (current) finish();
    else if (isPaint(picked.tool)) begin([...point]);
    frameView.draw();
    return true;
  }

  const keys = {
    "+": () => frameView.zoom(1.25), "=": () => frameView.zoom(1.25), "-": () => frameView.zoom(0.8), 0: () => frameView.fit(),
    ",": () => setWidth(picked.width / 1.25), ".": () => setWidth(picked.width * 1.25), s: () => { picked.strokes = !picked.strokes; drawStill(); frameView.draw(); },
    t: () => startTrial(), k: () => nextKeyFrame(),
  };
  for (const tool of TOOLS) keys[tool.key] = () => setTool(tool.name);

  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input:not([type=range]):not([type=checkbox]), select, textarea, dialog") || trial.open) return;
    if (event.ctrlKey || event.metaKey) {
      const redoing = event.key === "y" || (event.key === "z" && event.shiftKey) || event.key === "Z";
      if (redoing) step(redo, undo); else if (event.key === "z") step(undo, redo); else return;
      event.preventDefault();
      return;
    }
    if (event.key === " " && event.target === canvas) { space = true; event.preventDefault(); return; }
    if (event.target === canvas && onCanvasKey(event)) { event.preventDefault(); return; }
    const action = keys[event.key];
    if (!action || (event.target.type === "range" && /[-+0]/.test(event.key))) return;
    event.preventDefault();
    action();
  }, { signal });
  document.addEventListener("keyup", (event) => { if (event.key === " ") space = false; }, { signal });

  function nextKeyFrame() {
    const picks = [...chosenPicks()].sort((a, b) => a.frame - b.frame);
    const next = picks.find((one) => one.frame > still.frame && !stillAt(one.frame)) ?? picks.find((one) => !stillAt(one.frame)) ?? picks[0];
    if (next) openFrame(next.frame);
  }

  // --- panels --------------------

  function setTool(name) {
    picked.tool = name;
    for (const button of rail.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
    canvas.dataset.tool = name;
    frameView.draw();
  }

  function setWidth(width) {
    picked.width = Math.min(400, Math.max(1, Math.round(width)));
    widthField.value = String(picked.width);
    widthText.textContent = `${picked.width} px`;
    frameView.draw();
  }

  function setTrial(open) {
    trial.show(open);
    canvas.hidden = open;
    rail.hidden = open;
    side.hidden = open;
    split.classList.toggle("trying", open);
    status.hidden = open;
    if (!open) frameView.resize();
  }

  async function startTrial() {
    await keep;
    setTrial(true);
    trial.start(still.frame);
  }

  const widthField = h("input", { type: "range", min: "1", max: "200", value: String(picked.width), "aria-label": "Width of the brush", oninput: () => setWidth(Number(widthField.value)) });
  const widthText = h("output", {}, `${picked.width} px`);

  function drawStill() {
    const painted = still.strokes.length > 0 || still.kept;
    const grounds = [["gray", "Gray"], ["film", "The film's colors"]];
    if (still.ground === "picture") grounds.push(["picture", "A finished picture"]);
    const focused = document.activeElement?.dataset?.keep;
    fill(actions,
      h("div", { class: "row" },
        h("button", { onclick: () => step(undo, redo), disabled: !undo.length, title: "Ctrl+Z", "data-keep": "undo" }, icon("undo"), "Undo"),
        h("button", { onclick: () => step(redo, undo), disabled: !redo.length, title: "Ctrl+Y", "data-keep": "redo" }, icon("redo"), "Redo")),
      h("button", { class: "primary wide", onclick: startTrial, disabled: !painted && !store.film.stills.length, title: "T" }, icon("play"), "Try the shot"));
    fill(stillPanel,
      h("h2", {}, `Frame ${still.frame}`), h("p", { class: "muted" }, `Shot ${shotAt(still.frame) + 1}${painted ? " · this frame is a still" : " · no still yet"}`),
      h("label", { class: "field" }, h("span", {}, "Below the strokes"),
        h("select", { "data-keep": "ground", onchange: (event) => lay(event.target.value) }, grounds.map(([value, label]) => h("option", { value, selected: value === still.ground }, label)))),
      h("label", { class: "check" }, h("input", { type: "checkbox", "data-keep": "strokes", checked: picked.strokes, onchange: (event) => { picked.strokes = event.target.checked; frameView.draw(); } }), "Show the strokes"),
      h("div", { class: "row" },
        h("label", { class: "button" }, "Lay a picture…", h("input", { type: "file", accept: "image/*", class: "hidden-input", "aria-label": "A finished picture of this frame", onchange: (event) => event.target.files[0] && layPicture(event.target.files[0]) })),
        still.ground === "film" && !painted ? h("button", { title: "Take the film's colors here as a still", onclick: () => attempt(async () => { take(await put(path("/kept"), { kept: true })); }) }, "Keep as it is") : null,
        h("button", { onclick: clear, disabled: !painted, "aria-label": "Remove this still", title: "Remove this still" }, icon("trash"))));
    if (focused) side.querySelector(`[data-keep="${focused}"]`)?.focus();
  }

  rail.append(...TOOLS.map((tool) => h("button", { class: "tool", "data-tool": tool.name, "aria-pressed": "false", "aria-label": tool.label, title: `${tool.label} (${tool.key.toUpperCase()})`, onclick: () => setTool(tool.name) }, icon(tool.icon))),
    h("span", { class: "divider" }),
    h("button", { class: "tool", "aria-label": "Zoom in", title: "Zoom in (+)", onclick: () => frameView.zoom(1.25) }, icon("plus")),
    h("button", { class: "tool", "aria-label": "Zoom out", title: "Zoom out (−)", onclick: () => frameView.zoom(0.8) }, icon("minus")),
    h("button", { class: "tool", "aria-label": "Fit the picture", title: "Fit (0)", onclick: () => frameView.fit() }, icon("fit")));
  attempt(async () => {
    const palettes = await get(filmPath("/palettes"));
    if (signal.aborted) return;
    palette = colorPanel(() => frameView.draw(), palettes);
    const brush = h("section", { class: "panel" }, h("h2", {}, "Brush"), h("label", { class: "field" }, h("span", {}, "Width ", widthText), widthField),
      h("label", { class: "check" }, h("input", { type: "checkbox", onchange: (event) => { picked.alike = event.target.checked; } }), "Also what looks alike"));
    side.append(actions, palette.panel, brush, stillPanel);
    setTool("color");
    await openFrame(store.frame);
  });

  on("frame", (frame) => { if (frame !== still.frame) openFrame(frame); }, signal);
  on("film", () => drawStill(), signal);
  on("restarted", () => openFrame(still.frame), signal);
  on("strokes", async (message) => {
    if (message.frame !== still.frame || message.revision <= still.revision || still.busy) return;
    const record = await attempt(() => get(path()));
    if (record && !still.busy) { take(record); await refresh(); }
  }, signal);
}
