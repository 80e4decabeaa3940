// Elements, icons, notes and dialogs.

/** Makes an element: h("button", {class: "x", onclick}, "text", child). Attributes that are null or false are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !["list", "form", "role", "width", "height"].includes(name) && typeof value !== "string") {
      element[name] = value;
    } else element.setAttribute(name === "className" ? "class" : name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replaces what an element holds; children that are null or false are left out. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
}

const PATHS = {
  brush: "M4 20c3 0 5-1 5-4a2.6 2.6 0 0 0-5-.6C3.6 17 4 18.500 3 20zM9.500 14.500 19 4l1.500 1.500L11 16",
  area: "M5 6l9-2 6 6-3 9-10 1-4-7z",
  neutral: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  open: "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h6v6h-6z",
  engine: "M4 12a8 8 0 0 1 14-5l2-2v6h-6l2-2a5.600 5.600 0 1 0 1 6",
  pick: "M4 20l1-4 8-8 3 3-8 8zM14 6l2-2a2.100 2.100 0 0 1 4 3l-2 3z",
  hand: "M12 3v18M3 12h18M12 3l-2.500 2.500M12 3l2.500 2.500M12 21l-2.500-2.500M12 21l2.500-2.500M3 12l2.500-2.500M3 12l2.500 2.500M21 12l-2.500-2.500M21 12l-2.500 2.500",
  undo: "M8 5L4 9l4 4M4 9h9a6 6 0 0 1 0 12h-3",
  redo: "M16 5l4 4-4 4M20 9h-9a6 6 0 0 0 0 12h3",
  play: "M7 4l13 8-13 8z",
  pause: "M7 4h4v16H7zM14 4h4v16h-4z",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  theme: "M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8z",
  help: "M9 9a3 3 0 1 1 4 3c-1 .500-1 1.500-1 2.500M12 18v.500",
  folder: "M3 6h6l2 2h10v11H3z",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 9h4M4 15h4M16 9h4M16 15h4",
  project: "M6 3h9l4 4v14H6zM14 3v5h5M9 13h7M9 17h5",
  up: "M12 19V5M6 11l6-6 6 6",
  close: "M6 6l12 12M18 6L6 18",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  trash: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  gray: "M5 5h14v14H5zM5 19L19 5",
  next: "M9 5l7 7-7 7",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A line for the person; errors stay until they are closed. */
export function note(message, kind = "info") {
  const area = document.getElementById("toasts");
  if ([...area.children].some((child) => child.dataset.message === message)) return;
  const close = () => toast.remove();
  const toast = h("div", { class: `toast ${kind}`, "data-message": message }, h("span", {}, message),
    h("button", { class: "quiet", "aria-label": "Close this note", onclick: close }, icon("close")));
  area.append(toast);
  if (kind !== "error") setTimeout(close, 7000);
}

/** Runs something; what goes wrong becomes a note. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    note(error.message || String(error), "error");
    return undefined;
  }
}

/** Asks in a dialog; resolves to the chosen value, or null. */
export function ask(title, text, choices) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-label": title }, h("h2", {}, title), h("p", {}, text),
      h("div", { class: "row end" }, choices.map((choice) =>
        h("button", { class: choice.main ? "primary" : "", onclick: () => { dialog.close(); resolve(choice.value); } },
          choice.label))));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(null); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 90) return `${Math.max(1, Math.round(value))} s`;
  const minutes = Math.round(value / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function clock(frame, rate) {
  const total = frame / rate;
  const parts = [Math.floor(total / 60) % 60, Math.floor(total) % 60].map((part) => String(part).padStart(2, "0"));
  return `${Math.floor(total / 3600)}:${parts.join(":")}`;
}

export function bytes(size) {
  return size >= 1e9 ? `${(size / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(size / 1e6))} MB`;
}

export function debounce(action, milliseconds) {
  let timer = 0;
  return (...values) => { clearTimeout(timer); timer = setTimeout(() => action(...values), milliseconds); };
}
