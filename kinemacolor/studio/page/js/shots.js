// Shots and key frames: look through the film, correct its cuts, and see which frames to paint.
import { put, post } from "./api.js";
import { attempt, clock, fill, h, icon, svg } from "./dom.js";
import { filmPath, goTo, jobOf, on, readProposal, shotAt, show, stillAt, store, takeFilm, tell } from "./store.js";
import { chosenPicks, drawStrip } from "./strip.js";

export function shotsView(view, signal) {
  const image = h("img", { class: "frame", alt: "" });
  const caption = h("p", { class: "caption-line" });
  const slider = h("input", { type: "range", class: "scrub", "aria-label": "Frame", oninput: () => goTo(Number(slider.value)) });
  const side = h("aside", { class: "side", "aria-label": "Shots and key frames" });
  const stage = h("section", { class: "stage", "aria-label": "The film" }, h("div", { class: "screen" }, image), slider, caption);
  view.append(h("div", { class: "split" }, stage, side));

  let wanted = "";
  function drawFrame() {
    const film = store.film;
    if (!film.analyzed) return;
    slider.min = String(film.first);
    slider.max = String(film.first + film.frames - 1);
    slider.value = String(store.frame);
    const number = shotAt(store.frame);
    const still = stillAt(store.frame);
    caption.textContent = `Frame ${store.frame} · ${clock(store.frame - film.first, film.rate)} · shot ${number + 1} of ${film.shots.length}${still ? " · has a still" : ""}`;
    const address = still && still.file.includes("-stills")
      ? `api/${filmPath(`/stills/${store.frame}/picture.jpg?width=1280`)}`
      : `api/${filmPath(`/frames/${store.frame}.jpg?width=1280`)}`;
    if (address === wanted) return;
    wanted = address;
    const next = new Image();
    next.onload = () => { if (wanted === address) { image.src = next.src; image.alt = caption.textContent; } };
    next.src = address;
  }

  function drawSide() {
    const film = store.film;
    if (!film.analyzed) { fill(side, ...analysisPanel()); return; }
    const number = shotAt(store.frame);
    const shot = film.shots[number];
    const isCut = shot.start === store.frame;
    fill(side, 
      h("section", { class: "panel" }, h("h2", {}, `Shot ${number + 1}`),
        h("p", { class: "muted" }, `Frames ${shot.start} to ${shot.stop - 1}`),
        h("div", { class: "row" },
          h("button", { onclick: toggleCut, disabled: store.frame === film.first, title: "C" }, isCut ? "Remove cut" : "Cut here"),
          h("button", { onclick: () => moveCut(-1), title: "[", "aria-label": "Move the nearest cut one frame earlier" }, "−1"),
          h("button", { onclick: () => moveCut(1), title: "]", "aria-label": "Move the nearest cut one frame later" }, "+1")),
        h("label", { class: "check" }, h("input", { type: "checkbox", checked: shot.gray, onchange: toggleGray }), "This shot stays gray"),
        h("div", { class: "row" }, h("button", { class: "primary", disabled: shot.gray, onclick: () => show("paint") }, icon("brush"), stillAt(store.frame) ? "Paint on" : "Paint this frame"))),
      keyframePanel(),
    );
  }

  function analysisPanel() {
    const job = jobOf("analyze");
    const share = job?.progress?.total ? job.progress.done / job.progress.total : null;
    const failed = job?.state === "failed" || job?.state === "canceled";
    return [h("section", { class: "panel" }, h("h2", {}, failed ? "The film was not read" : "Reading the film"),
      h("p", { class: "muted" }, failed ? (job.last?.message ?? "It was canceled.") : "Its shots are being found. This is needed once; the result is kept beside the film."),
      failed ? h("button", { class: "primary", onclick: () => attempt(() => post(filmPath("/analysis"))) }, "Read it again")
        : h("progress", { class: "wide", "aria-label": "Reading the film", max: "1", ...(share === null ? {} : { value: String(share) }) }),
      h("p", { class: "muted number" }, job?.progress ? `${job.progress.done} of ${job.progress.total ?? "?"} frames` : ""))];
  }

  function keyframePanel() {
    const job = jobOf("keyframes");
    const proposal = store.proposal;
    const panel = h("section", { class: "panel grow" }, h("h2", {}, "Key frames"));
    if (!proposal) {
      const working = job && ["running", "waiting"].includes(job.state);
      const share = job?.progress?.total ? job.progress.done / job.progress.total : null;
      panel.append(h("p", { class: "muted" }, "Which frames, once painted, color most of the film? The studio compares its frames and proposes them."),
        working ? h("progress", { class: "wide", max: "1", "aria-label": "Comparing frames", ...(share === null ? {} : { value: String(share) }) })
          : h("button", { class: "primary", onclick: () => attempt(() => post(filmPath("/keyframes"))) }, "Propose key frames"));
      return panel;
    }
    const total = proposal.picks.length;
    const budget = h("input", { type: "range", min: "1", max: String(total), value: String(store.budget), "aria-label": "Key frames to paint",
      oninput: () => { store.budget = Number(budget.value); tell("proposal"); } });
    const supported = proposal.picks.slice(0, store.budget).at(-1)?.share_after ?? 0;
    const next = proposal.picks[store.budget];
    const picks = [...chosenPicks()].sort((a, b) => a.frame - b.frame);
    const first = picks.find((pick) => !stillAt(pick.frame));
    panel.append(h("label", { class: "field" }, h("span", {}, `Paint ${store.budget} of ${total}`), budget), gainChart(proposal.picks, store.budget),
      h("p", { class: "muted" }, `${Math.round(100 * supported)} % of the picture is well supported${next ? `; one more still would give ${Math.round(100 * next.share_after)} %` : ""}.`),
      h("ul", { class: "picks" }, picks.map((pick) => pickRow(pick, pick === first))));
    return panel;
  }

  function pickRow(pick, main) {
    const painted = stillAt(pick.frame);
    return h("li", {}, h("button", { class: "pick-row", "data-frame": String(pick.frame), onclick: () => goTo(pick.frame) },
      h("img", { src: `api/${filmPath(`/thumbnails/${pick.frame}.jpg`)}`, alt: "", loading: "lazy" }),
      h("span", {}, h("b", {}, `Frame ${pick.frame}`), h("span", { class: "muted" }, `shot ${pick.shot + 1} · best for ${pick.covers.length} samples`))),
    h("button", { class: main ? "primary" : "", onclick: () => { goTo(pick.frame); show("paint"); }, "aria-label": `Paint frame ${pick.frame}` }, painted ? "Painted" : "Paint"));
  }

  // --- cuts --------------------

  let edits = Promise.resolve();

  /** Changes are made one after the other, each on what the one before has left; an edit returns whether it did anything. */
  function change(edit) {
    edits = edits.then(() => attempt(async () => {
      const shots = store.film.shots.map((shot) => ({ start: shot.start, gray: shot.gray }));
      if (!edit(shots)) return;
      const starts = shots.map((shot) => shot.start);
      const record = await put(filmPath("/shots"), { starts, gray: shots.flatMap((shot, number) => (shot.gray ? [number] : [])) });
      store.proposal = null;
      takeFilm(record);
      drawStrip(document.getElementById("strip"));
    }));
  }

  function toggleCut() {
    const frame = store.frame;
    change((shots) => {
      const number = shotAt(frame);
      if (frame === store.film.first) return false;
      if (shots[number].start === frame) shots.splice(number, 1);
      else shots.splice(number + 1, 0, { start: frame, gray: shots[number].gray });
      return true;
    });
  }

  function moveCut(step) {
    const frame = store.frame;
    change((shots) => {
      const distance = (index) => Math.abs(shots[index].start - frame);
      let nearest = 0;
      for (let index = 1; index < shots.length; index += 1) if (!nearest || distance(index) < distance(nearest)) nearest = index;
      if (!nearest) return false;
      const target = shots[nearest].start + step;
      if (target <= shots[nearest - 1].start || target >= store.film.shots[nearest].stop) return false;
      shots[nearest].start = target;
      goTo(target);
      return true;
    });
  }

  function toggleGray() {
    const frame = store.frame;
    change((shots) => {
      const number = shotAt(frame);
      shots[number].gray = !shots[number].gray;
      return true;
    });
  }

  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input:not(.scrub), select, textarea, dialog") || event.ctrlKey || event.metaKey || !store.film.analyzed) return;
    const shots = store.film.shots;
    const number = shotAt(store.frame);
    const step = event.shiftKey ? 10 : 1;
    const actions = {
      ArrowLeft: () => goTo(store.frame - step), ArrowRight: () => goTo(store.frame + step),
      ArrowUp: () => goTo(shots[Math.max(0, number - 1)].start), ArrowDown: () => goTo(shots[Math.min(shots.length - 1, number + 1)].start),
      c: toggleCut, g: toggleGray, "[": () => moveCut(-1), "]": () => moveCut(1),
      k: () => { const next = [...chosenPicks()].sort((a, b) => a.frame - b.frame).find((pick) => pick.frame > store.frame) ?? chosenPicks()[0]; if (next) goTo(next.frame); },
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }, { signal });

  const draw = () => { drawFrame(); drawSide(); };
  on("frame", draw, signal);
  on("film", draw, signal);
  on("proposal", drawSide, signal);
  on("job", ({ job, event }) => {
    if (job.project !== store.film.id || !["analyze", "keyframes"].includes(job.kind)) return;
    if (event?.kind === "finished" && job.kind === "keyframes") readProposal();
    drawSide();
  }, signal);
  draw();
}

/** How much of the picture is supported with 1, 2, … stills. */
function gainChart(picks, budget) {
  const width = 280;
  const height = 64;
  const x = (count) => 4 + ((width - 8) * count) / picks.length;
  const y = (share) => height - 6 - (height - 14) * share;
  const points = [[0, 0], ...picks.map((pick, index) => [index + 1, pick.share_after])];
  const line = points.map(([count, share]) => `${x(count).toFixed(1)},${y(share).toFixed(1)}`).join(" ");
  const [count, share] = points[budget];
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": `With ${count} stills ${Math.round(100 * share)} percent of the picture is supported` },
    svg("line", { x1: 4, x2: width - 4, y1: y(0), y2: y(0), class: "axis" }),
    svg("polyline", { points: line, class: "curve" }),
    svg("line", { x1: x(count), x2: x(count), y1: y(0), y2: y(share), class: "axis" }),
    svg("circle", { cx: x(count), cy: y(share), r: 4, class: "here" }));
}
