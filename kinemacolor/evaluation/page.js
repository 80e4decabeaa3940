"use strict";
for (const plot of document.querySelectorAll(".plot")) {
  const { names, values } = JSON.parse(plot.dataset.lines);
  const svg = plot.querySelector("svg"), cursor = plot.querySelector(".cursor"), tip = plot.querySelector(".tip");
  const length = Math.max(...values.map((v) => v.length)), [, , width] = svg.getAttribute("viewBox").split(" ").map(Number);
  const left = 44, right = 10;
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * width - left) / (width - left - right);
    const frame = Math.round(Math.min(1, Math.max(0, share)) * (length - 1));
    const x = left + ((width - left - right) * frame) / Math.max(1, length - 1);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.style.visibility = "visible";
    const rows = names.map((name, k) => [values[k][frame], name]).sort((a, b) => b[0] - a[0]);
    tip.textContent = "frame " + frame + "\n" + rows.map(([v, name]) => v + "  " + name).join("\n");
    tip.hidden = false;
    const at = (x / width) * box.width;
    tip.style.left = (share > 0.6 ? at - tip.offsetWidth - 12 : at + 12) + "px";
  });
  svg.addEventListener("pointerleave", () => { cursor.style.visibility = "hidden"; tip.hidden = true; });
}
const compare = document.getElementById("compare");
if (compare) {
  const [clip, frame, left, right] = compare.querySelectorAll("select"), slider = compare.querySelector(".slider");
  const [under, over] = slider.querySelectorAll("img"), [nameOver, nameUnder] = slider.querySelectorAll("b");
  const bar = slider.querySelector("i"), pictures = [...document.querySelectorAll("img[data-clip]")];
  const find = (method) => pictures.find(
    (p) => p.dataset.clip === clip.value && p.dataset.frame === frame.value && p.dataset.method === method);
  const split = (share) => {
    over.style.clipPath = "inset(0 " + (100 - 100 * share) + "% 0 0)";
    bar.style.left = "calc(" + 100 * share + "% - 1px)";
  };
  const show = () => {
    over.src = find(left.value).src;
    under.src = find(right.value).src;
    nameOver.textContent = left.value;
    nameUnder.textContent = right.value;
  };
  const frames = () => {
    const selected = frame.selectedIndex, numbers = new Set();
    for (const p of pictures) if (p.dataset.clip === clip.value) numbers.add(p.dataset.frame);
    frame.replaceChildren(...[...numbers].map((n) => new Option(n, n)));
    frame.selectedIndex = Math.max(0, Math.min(selected, numbers.size - 1));
    show();
  };
  slider.addEventListener("pointermove", (event) => {
    const box = slider.getBoundingClientRect();
    split(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  });
  clip.addEventListener("change", frames);
  for (const choice of [frame, one, other]) choice.addEventListener("change", show);
  split(0.5);
  frames();
}
