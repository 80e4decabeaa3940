// A form that is made from the schema of the settings; it gives the values that differ from their defaults.
import { h } from "./dom.js";

const OPEN = ["Color", "Output"];

function kindOf(property) {
  if (property.enum) return { type: "choice", values: property.enum, optional: false };
  if (property.anyOf) {
    const inner = property.anyOf.find((part) => part.type !== "null" || part.enum) ?? {};
    return { ...kindOf(inner), optional: property.anyOf.some((part) => part.type === "null") };
  }
  const type = Array.isArray(property.type) ? "text" : property.type;
  return { type: type === "string" ? "text" : type, optional: false, low: property.minimum, high: property.maximum };
}

const title = (name) => name.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());

export function settingsForm(schema, values, onChange) {
  const groups = new Map();
  const readers = [];
  for (const [name, property] of Object.entries(schema.properties)) {
    const kind = kindOf(property);
    const value = values[name] ?? property.default ?? null;
    const field = control(name, kind, value, property, () => onChange(read()));
    readers.push(() => [name, field.read(), property.default ?? null]);
    if (!groups.has(property.group)) groups.set(property.group, []);
    groups.get(property.group).push(field.element);
  }
  function read() {
    const chosen = {};
    for (const reader of readers) {
      const [name, value, usual] = reader();
      if (value !== null && value !== undefined && value !== usual) chosen[name] = value;
    }
    return chosen;
  }
  return h("form", { class: "settings", onsubmit: (event) => event.preventDefault() }, [...groups].map(([group, fields]) =>
    h("details", { class: "group", open: OPEN.includes(group) }, h("summary", {}, group), h("div", { class: "fields" }, fields))));
}

function control(name, kind, value, property, onChange) {
  const id = `setting-${name}`;
  const usual = property.default_text ?? (property.default === null ? "none" : String(property.default));
  const help = h("small", { id: `${id}-help`, class: "muted" }, (property.description ?? "").replaceAll("`", ""));
  const common = { id, name, "aria-describedby": `${id}-help`, onchange: onChange };
  if (kind.type === "boolean" && !kind.optional) {
    const box = h("input", { ...common, type: "checkbox", checked: Boolean(value) });
    return { element: h("div", { class: "setting" }, h("label", { class: "check", for: id }, box, title(name)), help), read: () => box.checked };
  }
  let input;
  let read;
  if (kind.type === "choice" || kind.type === "boolean") {
    const choices = kind.type === "boolean" ? [true, false] : kind.values;
    const options = choices.map((choice) => h("option", { value: String(choice), selected: choice === value }, kind.type === "boolean" ? (choice ? "yes" : "no") : String(choice)));
    if (kind.optional) options.unshift(h("option", { value: "", selected: value === null }, usual));
    input = h("select", common, options);
    read = () => (input.value === "" ? null : choices.find((choice) => String(choice) === input.value));
  } else {
    const number = kind.type === "integer" || kind.type === "number";
    input = h("input", { ...common, type: number ? "number" : "text", value: value === null ? "" : String(value), placeholder: usual,
      ...(number ? { step: kind.type === "integer" ? "1" : "0.05", min: kind.low === undefined ? null : String(kind.low), max: kind.high === undefined ? null : String(kind.high) } : { spellcheck: "false" }) });
    read = () => (input.value.trim() === "" ? null : number ? Number(input.value) : input.value.trim());
  }
  return { element: h("div", { class: "setting" }, h("label", { for: id }, title(name)), input, help), read };
}
