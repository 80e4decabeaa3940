// The frame of the page: the bar on top, the views, the strip of shots, and the keys.
import { attempt, fill, h, icon, note, seconds } from "./dom.js";
import { begin, on, show, store } from "./store.js";
import { openView } from "./open.js";
import { paintView } from "./paint.js";
import { runView } from "./run.js";
import { shotsView } from "./shots.js";
import { drawStrip } from "./strip.js";

const VIEWS = [
  { name: "shots", label: "Shots", draw: shotsView, key: "1" },
  { name: "paint", label: "Paint", draw: paintView, key: "2" },
  { name: "run", label: "Run", draw: runView, key: "3" },
];

let closing = null;

function drawView() {
  closing?.abort();
  closing = new AbortController();
  const view = document.getElementById("view");
  const chosen = store.film ? VIEWS.find((one) => one.name === store.view) : null;
  document.body.dataset.view = chosen?.name ?? "open";
  fill(view);
  (chosen?.draw ?? openView)(view, closing.signal);
  drawBar();
  drawStrip(document.getElementById("strip"));
}

function drawBar() {
  const film = store.film;
  const tabs = film && VIEWS.map((view) =>
    h("button", { class: "tab", "aria-current": store.view === view.name ? "page" : null, title: `${view.label} (${view.key})`,
      onclick: () => show(view.name) }, view.label));
  fill(document.getElementById("bar"),
    h("div", { class: "brand" }, h("img", { src: "page/icon.svg", alt: "", width: "24", height: "24" }), h("strong", {}, "Kinemacolor")),
    h("button", { class: "film-name quiet", onclick: () => show("open"), title: "Open another film" }, icon("folder"),
      h("span", {}, film ? film.name : "Open a film")),
    h("nav", { "aria-label": "Steps" }, tabs || []),
    h("div", { class: "spacer" }),
    h("div", { id: "work", class: "work" }),
    h("button", { class: "quiet square", "aria-label": "Light or dark", title: "Light or dark", onclick: changeTheme }, icon("theme")),
    h("button", { class: "quiet square", "aria-label": "Keys", title: "Keys (?)", onclick: showKeys }, icon("help")),
  );
  drawWork();
}

function drawWork() {
  const area = document.getElementById("work");
  if (!area) return;
  const running = [...store.jobs.values()].filter((job) => job.state === "running");
  const job = running.find((one) => one.kind === "colorize") ?? running.at(-1);
  if (!store.online) { fill(area, h("span", { class: "offline" }, "The studio does not answer")); return; }
  if (!job) { fill(area); return; }
  const progress = job.progress;
  const share = progress?.total ? progress.done / progress.total : null;
  const left = progress?.seconds_left ? `, ${seconds(progress.seconds_left)} left` : "";
  fill(area, h("span", { class: "muted" }, `${job.title}${left}`),
    h("progress", { "aria-label": job.title, max: "1", ...(share === null ? {} : { value: String(share) }) }));
}

function changeTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
}

function showKeys() {
  const rows = [
    ["1  2  3", "Shots, Paint, Run"], ["← →", "one frame; with Shift ten"], ["↑ ↓", "the shot before, the shot after"],
    ["K", "next key frame that is proposed"], ["C", "add or remove a cut here"], ["[  ]", "move the nearest cut"],
    ["G", "the shot stays gray, or not"], ["B  A  N  O  E", "brush, area, neutral, no color here, hand back"],
    ["I", "pick a color from the picture"], ["+  −  0", "zoom in, out, fit"], ["Space", "hold to move the picture"],
    ["Ctrl+Z  Ctrl+Y", "undo, redo"], [",  .", "smaller, larger brush"], ["S", "show the strokes"],
    ["T", "try the shot"], ["P", "play or pause the trial"], ["Arrows, Enter", "in the picture: move the point, brush down or up"],
  ];
  const dialog = h("dialog", { "aria-label": "Keys", class: "keys" }, h("h2", {}, "Keys"),
    h("dl", {}, rows.map(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)])),
    h("div", { class: "row end" }, h("button", { class: "primary", onclick: () => dialog.close() }, "Close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "?") showKeys();
  const view = store.film && VIEWS.find((one) => one.key === event.key);
  if (view) show(view.name);
});

const theme = localStorage.getItem("theme");
if (theme) document.documentElement.dataset.theme = theme;

on("view", drawView);
on("film", ({ other }) => {
  if (other) show(store.view === "open" ? "shots" : store.view);
  else drawStrip(document.getElementById("strip"));
});
for (const name of ["job", "jobs", "online"]) on(name, drawWork);
on("online", (online) => { if (!online) note("The studio does not answer; what is painted is kept. This page goes on when it is back."); });

drawView();
attempt(async () => { await begin(); if (store.film) show("shots"); });
