// The picture that is painted: drawn with zoom and pan, strokes on top of it, and where the pointer is in the frame.

export class PictureView {
  constructor(canvas, width, height) {
    this.canvas = canvas;
    this.width = width;
    this.height = height;
    this.picture = null;
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    this.fitted = true;
    this.overlay = () => {};
    this.queued = false;
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(canvas);
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    if (this.fitted) this.fit(); else this.draw();
  }

  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    this.scale = Math.max(0.01, Math.min((clientWidth - 24) / this.width, (clientHeight - 24) / this.height));
    this.left = (clientWidth - this.width * this.scale) / 2;
    this.top = (clientHeight - this.height * this.scale) / 2;
    this.fitted = true;
    this.draw();
  }

  /** Zooms by a factor, keeping a point of the canvas where it is; the middle by default. */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const scale = Math.min(40, Math.max(0.05, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.fitted = false;
    this.draw();
  }

  /** Place in the frame of a place on the screen. */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left - this.left) / this.scale, (event.clientY - box.top - this.top) / this.scale];
  }

  show(picture) {
    this.picture = picture;
    this.sampled = null;
    this.draw();
  }

  /** The color of the picture at a place in the frame, as #rrggbb; the mean of a few pixels. */
  color([x, y]) {
    if (!this.picture) return null;
    if (!this.sampled) {
      this.sampled = document.createElement("canvas");
      this.sampled.width = this.picture.naturalWidth;
      this.sampled.height = this.picture.naturalHeight;
      const context = this.sampled.getContext("2d", { willReadFrequently: true });
      context.drawImage(this.picture, 0, 0);
    }
    const left = Math.round((x * this.sampled.width) / this.width) - 1;
    const top = Math.round((y * this.sampled.height) / this.height) - 1;
    if (left < -1 || top < -1 || left > this.sampled.width || top > this.sampled.height) return null;
    const { data } = this.sampled.getContext("2d").getImageData(left, top, 3, 3);
    const sums = [0, 0, 0];
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (!data[at + 3]) continue;
      count += 1;
      for (let part = 0; part < 3; part += 1) sums[part] += data[at + part];
    }
    if (!count) return null;
    return `#${sums.map((sum) => Math.round(sum / count).toString(16).padStart(2, "0")).join("")}`;
  }

  draw() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => { this.queued = false; this.paint(); });
  }

  paint() {
    const ratio = devicePixelRatio || 1;
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(this.scale * ratio, 0, 0, this.scale * ratio, this.left * ratio, this.top * ratio);
    if (this.picture) {
      context.imageSmoothingEnabled = this.scale * ratio < 6;
      context.imageSmoothingQuality = "high";
      context.drawImage(this.picture, 0, 0, this.width, this.height);
    }
    this.overlay(context, 1 / this.scale);
  }

  close() {
    this.observer.disconnect();
  }
}

const MARKS = { neutral: "#9a9a9a", open: "#e8e8e8", engine: "#56b4c9" };

/** Draws strokes as thin lines in their colors, outlined so that they are seen on any picture. */
export function drawStrokes(context, strokes, pixel, { full = false } = {}) {
  context.lineCap = "round";
  context.lineJoin = "round";
  for (const stroke of strokes) {
    const path = new Path2D();
    stroke.points.forEach(([x, y], index) => (index ? path.lineTo(x, y) : path.moveTo(x, y)));
    if (stroke.points.length === 1) path.lineTo(stroke.points[0][0] + 0.01, stroke.points[0][1]);
    if (stroke.area) path.closePath();
    const color = stroke.kind === "color" ? stroke.color : MARKS[stroke.kind];
    context.setLineDash(stroke.kind === "engine" ? [5 * pixel, 4 * pixel] : []);
    if (full && stroke.area) { context.globalAlpha = 0.35; context.fillStyle = color; context.fill(path); }
    context.globalAlpha = full ? 0.85 : 1;
    if (!full) { context.lineWidth = 4 * pixel; context.strokeStyle = "rgb(0 0 0 / .55)"; context.stroke(path); }
    context.lineWidth = full && !stroke.area ? stroke.width : 2 * pixel;
    context.strokeStyle = color;
    context.stroke(path);
    context.globalAlpha = 1;
  }
  context.setLineDash([]);
}
