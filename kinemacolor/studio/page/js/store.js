// What the page knows: the film that is open, its jobs, the place in the film. Views listen to changes.
import { get, listen, post } from "./api.js";
import { attempt, note } from "./dom.js";

const target = new EventTarget();

export const store = {
  film: null, // the project's record
  jobs: new Map(),
  films: [],
  frame: 0,
  view: "open",
  proposal: null,
  budget: 0,
  online: true,
};

export const on = (name, action, signal) => target.addEventListener(name, (event) => action(event.detail), { signal });
export const tell = (name, detail) => target.dispatchEvent(new CustomEvent(name, { detail }));

export const filmPath = (rest = "") => `films/${store.film.id}${rest}`;

export function shotAt(frame) {
  const shots = store.film?.shots ?? [];
  let low = 0;
  let high = shots.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (shots[middle].start <= frame) low = middle; else high = middle - 1;
  }
  return low;
}

export const stillAt = (frame) => (store.film?.stills ?? []).find((still) => still.frame === frame) ?? null;

export function goTo(frame) {
  const film = store.film;
  if (!film) return;
  const last = film.first + (film.frames ?? 1) - 1;
  store.frame = Math.min(last, Math.max(film.first, Math.round(frame)));
  tell("frame", store.frame);
}

export function show(view) {
  store.view = view;
  tell("view", view);
}

export function takeFilm(record) {
  const other = store.film?.id !== record.id;
  store.film = record;
  if (other) {
    store.proposal = null;
    store.frame = record.first;
    sessionStorage.setItem("film", record.id);
    for (const remark of record.remarks) note(remark);
  }
  tell("film", { other });
  if (record.analyzed && (other || !store.proposal)) readProposal();
}

export async function readFilm() {
  if (!store.film) return;
  const record = await attempt(() => get(filmPath()));
  if (record) takeFilm(record);
}

export async function readProposal() {
  store.proposal = (await attempt(() => get(filmPath("/keyframes")))) ?? null;
  if (store.proposal && !store.budget) store.budget = Math.min(store.proposal.picks.length, store.film.shots.length);
  tell("proposal");
}

export const jobOf = (kind) =>
  [...store.jobs.values()].filter((job) => job.kind === kind && job.project === store.film?.id).at(-1) ?? null;

async function readDesk() {
  const desk = await get("desk");
  store.jobs = new Map(desk.jobs.map((job) => [job.id, job]));
  store.films = desk.films;
  tell("jobs");
  return desk;
}

function onMessage(message) {
  if (message.kind === "job") {
    const job = message.record ?? store.jobs.get(message.job);
    if (!job) { attempt(readDesk); return; }
    store.jobs.set(message.job, job);
    job.state = message.state;
    const event = message.event;
    if (event?.kind === "progress") job.progress = event;
    if (event?.kind === "segment_finished") job.segments.push(event);
    if (["warning", "planned", "disk_estimate", "resumed"].includes(event?.kind)) job.notes.push(event);
    if (["finished", "failed", "canceled"].includes(event?.kind)) job.last = event;
    if (event?.kind === "failed" && job.project === store.film?.id) note(event.message, "error");
    if (event?.kind === "frame_colored") tell("colored", { job, event });
    tell("job", { job, event });
  } else if (message.kind === "project" && message.project === store.film?.id) {
    store.proposal = null;
    readFilm();
  } else if (message.kind === "strokes" && message.project === store.film?.id) {
    tell("strokes", message);
  } else if (message.kind === "films") {
    store.films = message.films;
  } else if (message.kind === "fault" && message.project === store.film?.id) {
    note(message.message, "error");
  } else if (message.kind === "behind") {
    attempt(readDesk);
    readFilm();
  }
}

/** Reads everything, opens the film that was open, and listens. */
export async function begin() {
  const desk = await readDesk();
  const wanted = sessionStorage.getItem("film");
  const film = desk.films.find((one) => one.id === wanted)?.id ?? desk.first ?? desk.films.at(-1)?.id;
  if (film) takeFilm(await get(`films/${film}`));
  listen(onMessage, async (online, again) => {
    store.online = online;
    tell("online", online);
    if (online && again) await attempt(reattach);
  });
}

async function reattach() {
  const desk = await readDesk();
  if (!store.film) return;
  if (desk.films.some((film) => film.id === store.film.id)) { await readFilm(); return; }
  // The studio was started again: it opens the film anew.
  takeFilm(await post("films", { path: store.film.saved ? store.film.path : store.film.film }));
  tell("restarted");
}
