// The strip of shots: a cell for each, with thumbnail, length, stills, proposed key frames and their reach.
import { fill, h } from "./dom.js";
import { goTo, on, shotAt, store } from "./store.js";

let cells = [];
let drawn = "";

export function chosenPicks() {
  return (store.proposal?.picks ?? []).slice(0, store.budget);
}

export function drawStrip(footer) {
  const film = store.film;
  footer.hidden = !film?.analyzed || !["shots", "paint"].includes(store.view);
  if (footer.hidden) return;
  const signature = JSON.stringify([film.id, film.shots]);
  if (signature !== drawn || !footer.firstChild) {
    drawn = signature;
    cells = film.shots.map((shot, number) => cell(film, shot, number));
    fill(footer, h("ol", { class: "shots" }, cells.map((one) => one.item)));
  }
  decorate();
  mark();
}

function cell(film, shot, number) {
  const middle = (shot.start + shot.stop) >> 1;
  const rail = h("span", { class: "rail" });
  const length = ((shot.stop - shot.start) / film.rate).toFixed(1);
  const button = h("button", {
    class: `shot ${shot.gray ? "gray" : ""}`,
    "aria-label": `Shot ${number + 1}, ${length} seconds${shot.gray ? ", stays gray" : ""}`,
    onclick: (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      const share = event.detail ? Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width)) : 0.5;
      goTo(shot.start + Math.floor(share * (shot.stop - shot.start)));
    },
  },
  h("img", { src: `api/films/${film.id}/thumbnails/${middle}.jpg`, alt: "", loading: "lazy", decoding: "async" }),
  h("span", { class: "caption" }, h("b", {}, String(number + 1)), h("span", {}, shot.gray ? "gray" : `${length} s`)), rail);
  return { item: h("li", {}, button), button, rail, shot };
}

function decorate() {
  const marks = cells.map(() => []);
  const add = (frame, kind, title, reach) => {
    const number = shotAt(frame);
    const { shot } = cells[number];
    const place = (at) => `${(100 * (at - shot.start)) / (shot.stop - shot.start)}%`;
    if (reach) {
      const inside = reach.filter((at) => at >= shot.start && at < shot.stop);
      const low = Math.min(frame, ...inside);
      const high = Math.max(frame, ...inside);
      const bar = h("i", { class: "reach" });
      bar.style.left = place(low);
      bar.style.width = `${(100 * (high - low + 1)) / (shot.stop - shot.start)}%`;
      marks[number].push(bar);
    }
    const dot = h("i", { class: kind, title });
    dot.style.left = place(frame + 0.5);
    marks[number].push(dot);
  };
  for (const pick of chosenPicks()) add(pick.frame, "pick", `Proposed: frame ${pick.frame}`, pick.covers);
  for (const still of store.film.stills) if (still.frame !== null && still.frame >= 0) add(still.frame, "still", `Still: frame ${still.frame}`);
  cells.forEach((one, number) => fill(one.rail, ...marks[number], h("i", { class: "cursor" })));
  mark(false);
}

let current = -1;

function mark(scroll = true) {
  if (!store.film?.analyzed || !cells.length) return;
  const number = shotAt(store.frame);
  cells.forEach((one, index) => one.button.toggleAttribute("aria-current", index === number));
  const { rail, shot, button } = cells[number];
  const cursor = rail.querySelector(".cursor");
  if (cursor) cursor.style.left = `${(100 * (store.frame + 0.5 - shot.start)) / (shot.stop - shot.start)}%`;
  if (scroll && number !== current) button.scrollIntoView({ block: "nearest", inline: "center" });
  current = number;
}

on("frame", () => mark());
on("proposal", () => drawStrip(document.getElementById("strip")));
