// Running films: settings, what a run will cost, the queue with what is finished so far, and the report.
import { get, post, put, remove } from "./api.js";
import { ask, attempt, bytes, debounce, fill, h, icon, note, seconds } from "./dom.js";
import { settingsForm } from "./form.js";
import { filmPath, on, store, takeFilm } from "./store.js";

let schema = null;

export function runView(view, signal) {
  const settings = h("section", { class: "panel settings-panel" }, h("h2", {}, "Settings"));
  const start = h("section", { class: "panel" });
  const queue = h("section", { class: "panel grow", "aria-label": "Queue of films" });
  view.append(h("div", { class: "split run" }, h("div", { class: "column" }, start, settings), h("div", { class: "column wide-column" }, queue)));
  let estimate = null;

  const save = debounce((values) => attempt(async () => {
    estimate = null;
    takeFilm(await put(filmPath("/settings"), values));
    note("The settings are kept in the project");
  }), 350);

  attempt(async () => {
    schema ??= await get("schema");
    if (!signal.aborted) settings.append(settingsForm(schema, store.film.settings, save));
  });

  const jobs = () => [...store.jobs.values()].filter((job) => job.kind === "colorize");
  const active = () => jobs().find((job) => job.project === store.film.id && ["running", "waiting"].includes(job.state));

  function drawStart() {
    const film = store.film;
    const stills = film.stills.filter((still) => !still.fault).length;
    const fault = film.stills.find((still) => still.fault)?.fault;
    const busy = active();
    const ready = film.analyzed && stills > 0;
    fill(start, h("h2", {}, film.name),
      h("p", { class: "muted" }, fault ?? `${film.frames ?? "?"} frames, ${film.shots.length} shot${film.shots.length === 1 ? "" : "s"}, ${stills} still${stills === 1 ? "" : "s"}`),
      h("p", { class: "path" }, film.output),
      !ready ? h("p", {}, film.analyzed ? "Paint at least one still before the film can run." : "The film is still being read.") : null,
      film.resumable && !busy ? h("p", { class: "hint" }, "An earlier run was interrupted; it goes on from what is finished.") : null,
      estimate ? h("p", { class: "estimate" }, `About ${seconds(estimate.seconds)}${estimate.output ? `, ${bytes(estimate.output)} on the disk in the end and ${bytes(estimate.needed)} meanwhile; ${bytes(estimate.free)} are free` : ""}.`) : null,
      h("div", { class: "row" },
        h("button", { class: "primary", disabled: !ready || Boolean(busy), onclick: run }, icon("play"), film.resumable ? "Go on" : "Run the film"),
        film.resumable && !busy ? h("button", { onclick: () => run(null, true) }, "Start over") : null,
        h("button", { disabled: !ready, onclick: (event) => measure(event.currentTarget) }, "Estimate"),
        film.report ? h("a", { class: "button", href: `api/${filmPath("/report")}`, target: "_blank", rel: "noopener" }, "Report") : null),
      h("p", { class: "muted small" }, "The same on the command line:"), h("code", { class: "command" }, `kinemacolor colorize --project ${film.path}`));
  }

  async function measure(button) {
    button.disabled = true;
    button.textContent = "Measuring…";
    estimate = (await attempt(() => post(filmPath("/estimate")))) ?? null;
    if (!signal.aborted) drawStart();
  }

  async function run(_event, restart = false) {
    let overwrite = false;
    if (store.film.finished) {
      overwrite = await ask("Replace the film?", `${store.film.output} is there already. It is replaced when the new one is complete.`, [{ label: "Leave it", value: false }, { label: "Replace", value: true, main: true }]);
      if (!overwrite) return;
    }
    const record = await attempt(() => post(filmPath("/runs"), { overwrite, restart }));
    if (record) drawQueue();
  }

  function drawQueue() {
    const all = jobs();
    fill(queue, h("h2", {}, "Queue"), all.length ? null : h("p", { class: "muted" }, "No film is running. Several films may be put into the queue: open another one, and run it as well."),
      h("ol", { class: "queue" }, all.map(row)));
  }

  function row(job) {
    const progress = job.progress;
    const share = progress?.total ? progress.done / progress.total : null;
    const words = { waiting: "waits for its turn", running: "is running", finished: "is finished", failed: "could not go on", canceled: "was canceled; what is finished is kept" };
    const stage = { analyze: "reading", color: "coloring", join: "joining" }[progress?.stage] ?? "";
    const counts = progress && job.state === "running" ? `${stage} ${progress.done} of ${progress.total ?? "?"}${progress.per_second ? `, ${progress.per_second.toFixed(1)} frames a second` : ""}${progress.seconds_left ? `, ${seconds(progress.seconds_left)} left` : ""}` : "";
    const summary = job.last?.summary;
    return h("li", { class: `job ${job.state}`, "data-state": job.state, "data-job": job.id },
      h("div", { class: "row" }, h("b", {}, job.title), h("span", { class: "muted" }, words[job.state]), h("span", { class: "spacer" }),
        ["running", "waiting"].includes(job.state) ? h("button", { onclick: () => attempt(() => remove(`jobs/${job.id}`)) }, "Cancel") : null),
      job.state === "running" ? h("progress", { class: "wide", "aria-label": `${job.title}: ${counts}`, max: "1", ...(share === null ? {} : { value: String(share) }) }) : null,
      counts ? h("p", { class: "muted number" }, counts) : null,
      job.last?.kind === "failed" ? h("p", { class: "fault" }, job.last.message) : null,
      summary ? h("p", {}, `${summary.frames} frames, mean confidence ${summary.confidence}; ${summary.output}`) : null,
      job.notes.filter((one) => one.message).map((one) => h("p", { class: "hint" }, one.message)),
      h("div", { class: "segments" }, job.segments.slice(-24).map((segment) => h("figure", {}, h("img", { src: `data:image/jpeg;base64,${segment.thumbnail}`, alt: `Frame ${(segment.start + segment.stop) >> 1} in color` }),
        h("figcaption", {}, `${segment.start}–${segment.stop - 1} · ${segment.confidence.toFixed(2)}`)))));
  }

  on("film", drawStart, signal);
  on("jobs", () => { drawStart(); drawQueue(); }, signal);
  on("job", ({ job }) => {
    if (job.kind !== "colorize") return;
    drawQueue();
    drawStart();
  }, signal);
  drawStart();
  drawQueue();
}
