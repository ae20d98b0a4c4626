/** A canvas that keeps up with its width, the screen's density, light and dark, and printing. */

import { element } from "./dom.js";

const charts = new Set();

/** A canvas of a fixed height in CSS pixels. `draw(context, width, height, colours)` is called whenever it must be drawn. */
export function chart(height, draw, attributes = {}) {
  const canvas = element("canvas", { ...attributes, height });
  const redraw = () => {
    const width = canvas.clientWidth;
    if (!width || !canvas.isConnected) return;
    const density = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
    const context = canvas.getContext("2d");
    context.scale(density, density);
    context.font = `12px ${getComputedStyle(canvas).fontFamily}`;
    draw(context, width, height, coloursOf(canvas));
  };
  canvas.style.setProperty("height", `${height}px`);
  new ResizeObserver(redraw).observe(canvas);
  charts.add({ canvas, redraw });
  return { canvas, redraw: onNextFrame(redraw) };
}

/** The colours of the style sheet, as they are now. */
function coloursOf(owner) {
  const style = getComputedStyle(owner);
  const named = (name) => style.getPropertyValue(name).trim();
  return { ink: named("--ink"), muted: named("--muted"), line: named("--line"), ground: named("--ground"), isDark: named("--scheme") === "dark" };
}

/** However often it is called before the next frame, once is enough. */
function onNextFrame(call) {
  let isAsked = false;
  return () => {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => {
      isAsked = false;
      call();
    });
  };
}

function redrawAll() {
  for (const entry of charts) {
    if (entry.canvas.isConnected) entry.redraw();
    else charts.delete(entry);
  }
}

/** Paper is light, shows everything that can be opened, and goes back to what it was. */
function print(isPrinting) {
  document.documentElement.classList.toggle("printing", isPrinting);
  for (const details of document.querySelectorAll("details.open-on-paper")) {
    if (isPrinting) details.dataset.wasOpen = String(details.open);
    details.open = isPrinting || details.dataset.wasOpen === "true";
  }
  redrawAll();
}

window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
window.matchMedia("print").addEventListener("change", ({ matches }) => print(matches));
window.addEventListener("beforeprint", () => print(true));
window.addEventListener("afterprint", () => print(false));
