// Opening a film: a browser of this machine's folders, and a place to drop a file.
import { get, post, send } from "./api.js";
import { attempt, bytes, fill, h, icon, note } from "./dom.js";
import { show, store, takeFilm } from "./store.js";

export function openView(view, signal) {
  const list = h("ul", { class: "files", "aria-label": "Files" });
  const place = h("div", { class: "place" });
  const drop = h("label", { class: "drop" }, icon("film"),
    h("span", {}, h("strong", {}, "Drop a film here"), h("br"), h("span", { class: "muted" }, "or choose a file; it is copied to this machine's folder of films")),
    h("input", { type: "file", class: "hidden-input", "aria-label": "Choose a film to copy", accept: "video/*,.mkv,.mxf,.ts,.m2ts",
      onchange: (event) => event.target.files[0] && take(event.target.files[0]) }));
  const recent = store.films.map((film) =>
    h("button", { class: "recent", onclick: () => attempt(async () => { takeFilm(await get(`films/${film.id}`)); show("shots"); }) },
      icon("film"), h("span", {}, film.name)));

  async function open(path) {
    const record = await attempt(() => post("films", { path }));
    if (!record) return;
    takeFilm(record);
    show("shots");
  }

  async function take(file) {
    drop.classList.add("busy");
    note(`${file.name} is being copied (${bytes(file.size)})`);
    const record = await attempt(() => send(`uploads/${encodeURIComponent(file.name)}`, file));
    drop.classList.remove("busy");
    if (record) { takeFilm(record); show("shots"); }
  }

  async function browse(folder) {
    const listing = await attempt(() => get(`browse${folder ? `?folder=${encodeURIComponent(folder)}` : ""}`));
    if (!listing || signal.aborted) return;
    sessionStorage.setItem("folder", listing.folder ?? "");
    const up = listing.folder && h("button", { class: "quiet", onclick: () => browse(listing.parent) }, icon("up"),
      listing.parent ? "Up" : "All folders");
    fill(place, [up, h("span", { class: "path" }, listing.folder ?? "Folders that the studio may use")]);
    const rows = listing.entries.map((entry) => h("li", {}, h("button", {
      class: `file ${entry.kind}`,
      onclick: () => (entry.kind === "folder" ? browse(entry.path) : open(entry.path)),
    }, icon(entry.kind), h("span", { class: "name" }, entry.name), h("span", { class: "muted" }, entry.kind === "folder" ? "" : bytes(entry.bytes)))));
    if (listing.folder) {
      rows.push(h("li", {}, h("button", { class: "file quiet-file", onclick: () => open(listing.folder) }, icon("film"),
        h("span", { class: "name" }, "Open this folder's images as a film"))));
    }
    fill(list, ...rows);
  }

  for (const name of ["dragover", "drop"]) {
    view.addEventListener(name, (event) => {
      event.preventDefault();
      if (name === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
    }, { signal });
  }
  view.append(h("div", { class: "open-view" },
    h("section", { class: "intro" }, h("h1", {}, "Color a black-and-white film"),
      h("p", {}, "Open a film, paint a few of its frames, see them move, and let the film run. Everything lands in a project file beside the film, which the command line reads as well."),
      drop, recent.length ? h("div", {}, h("h2", {}, "Open now"), recent) : null),
    h("section", { class: "browser" }, h("h2", {}, "On this machine"), place, list)));
  browse(sessionStorage.getItem("folder") || "");
}
