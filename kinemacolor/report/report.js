"use strict";
for (const figure of document.querySelectorAll("figure.film")) {
  const { frames, numbers, rate, starts, confidence, plot } = JSON.parse(figure.dataset.film);
  const svg = figure.querySelector("svg"), cursor = svg.querySelector(".cursor"), tip = figure.querySelector(".tip");
  const [left, right, width] = plot;
  const clock = (seconds) => {
    const minutes = Math.floor(seconds / 60);
    const rest = (seconds - 60 * minutes).toFixed(2).padStart(5, "0");
    return Math.floor(minutes / 60) + ":" + String(minutes % 60).padStart(2, "0") + ":" + rest;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * width - left) / (width - left - right);
    const frame = Math.min(frames - 1, Math.max(0, Math.floor(share * frames)));
    const x = left + ((width - left - right) * (frame + 0.5)) / frames;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.style.visibility = "visible";
    const number = Array.isArray(numbers) ? numbers[frame] : numbers + frame;
    let shot = 0;
    while (shot < starts.length && starts[shot] <= frame) shot += 1;
    const value = confidence[Math.floor((frame * confidence.length) / frames)];
    tip.textContent = "frame " + number + "  " + clock(frame / rate) + "\nshot " + shot + "\nconfidence " + value.toFixed(3);
    tip.hidden = false;
    const at = (x / width) * box.width;
    tip.style.left = (share > 0.8 ? at - tip.offsetWidth - 12 : at + 12) + "px";
    tip.style.top = box.top - figure.getBoundingClientRect().top + 30 + "px";
  });
  svg.addEventListener("pointerleave", () => { cursor.style.visibility = "hidden"; tip.hidden = true; });
}
