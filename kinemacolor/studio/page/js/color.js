// The color that is painted with: a field, swatches, and the film's palettes.
import { put } from "./api.js";
import { attempt, debounce, fill, h, icon } from "./dom.js";
import { filmPath } from "./store.js";

const BASICS = [
  { name: "Skin", colors: ["#e8c4a8", "#d9a982", "#c08a63", "#9c6a48", "#704832"] },
  { name: "Hair and wood", colors: ["#d8b878", "#a8763e", "#7a5230", "#5a3b26", "#8a5a2c"] },
  { name: "Nature", colors: ["#7aa0c4", "#a8c4d8", "#6f8f4e", "#8a9a5a", "#b8a070"] },
  { name: "Cloth", colors: ["#b04438", "#c88a3c", "#3f6f94", "#4a7a68", "#86587e"] },
];

/** A panel; `onColor` is told each choice. */
export function colorPanel(onColor, palettes) {
  let color = localStorage.getItem("color") ?? "#b04438";
  let saved = palettes.length ? palettes : [{ name: "Of this film", colors: [] }];
  const well = h("input", { type: "color", value: color, "aria-label": "Color", oninput: () => choose(well.value) });
  const code = h("input", { type: "text", class: "code", value: color, maxlength: "7", "aria-label": "Color as #rrggbb", spellcheck: "false",
    onchange: () => { const text = code.value.trim().toLowerCase(); if (/^#[0-9a-f]{6}$/.test(text)) choose(text); else code.value = color; } });
  const own = h("div", { class: "swatches" });
  const save = debounce(() => attempt(() => put(filmPath("/palettes"), { palettes: saved })), 300);

  function choose(value) {
    color = value;
    well.value = value;
    code.value = value;
    localStorage.setItem("color", value);
    for (const swatch of panel.querySelectorAll(".swatch")) swatch.toggleAttribute("aria-pressed", swatch.dataset.color === value);
    onColor(value);
  }

  const swatch = (value, title, onremove) => {
    const button = h("button", { class: "swatch", "data-color": value, title: `${title} ${value}`, "aria-label": `${title} ${value}`, onclick: () => choose(value),
      oncontextmenu: onremove && ((event) => { event.preventDefault(); onremove(); }),
      onkeydown: onremove && ((event) => { if (event.key === "Delete") onremove(); }) });
    button.style.background = value;
    return button;
  };

  function drawOwn() {
    const [first] = saved;
    fill(own, ...first.colors.map((value) => swatch(value, "Kept color (Delete removes it)", () => {
      first.colors = first.colors.filter((one) => one !== value);
      drawOwn();
      save();
    })), h("button", { class: "swatch add", "aria-label": "Keep this color", title: "Keep this color", onclick: () => {
      if (!first.colors.includes(color)) first.colors.push(color);
      drawOwn();
      save();
    } }, icon("plus")));
  }

  const panel = h("section", { class: "panel" }, h("h2", {}, "Color"), h("div", { class: "row" }, well, code),
    h("h3", {}, "Of this film"), own,
    h("div", { class: "palettes" }, BASICS.map((group) => h("div", {}, h("h3", {}, group.name), h("div", { class: "swatches" }, group.colors.map((value) => swatch(value, group.name)))))));
  drawOwn();
  choose(color);
  return { panel, choose, get color() { return color; } };
}
