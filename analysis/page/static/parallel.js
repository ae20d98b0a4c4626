/** Parallel coordinates: a line per trial; ranges by dragging over an axis or by number select trials for every part. */

import { chart } from "./chart.js";
import { element, formatNumber, formatTick, plural, section, wide } from "./dom.js";
import { extent, scale } from "./scales.js";
import { hiddenCells } from "./store.js";

const HEIGHT = 340;
const TOP = 58;
const BOTTOM = 316;
/** Where trials without a value on an axis pass. */
const NOWHERE = 331;
const AXIS_WIDTH = 116;
/** Axes at first: settings, then metrics, then costs. */
const AXES = 8;
/** Half the width over which a drag belongs to an axis, and the shortest drag that is no click. */
const REACH = 40;
const CLICK = 4;
const RANK = { setting: 0, metric: 1, cost: 2 };

/** The section with the coordinates; nothing where no trial has finished. */
export function parallel(page, store) {
  const columns = page.trials.columns.filter(({ group, values }) => group in RANK && values.some((value) => value !== null));
  return columns.length > 1 && columns.some(({ is_constant: isConstant }) => !isConstant) ? new ParallelView(page, store, columns).section() : null;
}

class ParallelView {
  constructor(page, store, columns) {
    this.page = page;
    this.store = store;
    this.columns = [...columns].sort((one, other) => RANK[one.group] - RANK[other.group]);
    this.status = element("p", { role: "status", class: "note" });
    this.rangeRows = element("tbody");
    this.drag = null;
    this.plot = chart(HEIGHT, (...drawing) => this.draw(...drawing), { role: "img", class: "brush", "aria-label": "Parallel coordinates; the ranges below select trials by keyboard, the table of trials has the numbers" });
    const { canvas } = this.plot;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", () => this.end());
    canvas.addEventListener("pointercancel", () => this.end());
  }

  section() {
    const clear = element("button", { type: "button", on: { click: () => this.clear() } }, "Clear all ranges");
    const ranges = element("table", { class: "ranges" },
      element("thead", {}, element("tr", {}, ["axis", "from", "to"].map((title) => element("th", { class: "text", scope: "col" }, title)))), this.rangeRows);
    const made = section("parallel", "Settings and results of every trial",
      element("p", { class: "note" }, "Each line is a trial, in the colour of its cell. Drag along an axis to keep a range; it selects trials here, in the curves, the samples and the table. A click on an axis clears its range."),
      this.status,
      wide("Parallel coordinates", this.plot.canvas),
      element("div", { class: "controls" }, clear, element("a", { href: "#trials" }, "Numbers: the table of trials")),
      element("details", {}, element("summary", {}, "Ranges by number"), wide("Ranges", ranges)),
      this.axisChoice());
    this.store.follow("hidden", made, this.plot.redraw);
    made.addEventListener("keydown", ({ key }) => key === "Escape" && this.clear());
    this.changed();
    this.showRanges();
    return made;
  }

  /** Names of the axes that are shown: at first those that vary, as many as can be read. */
  shown() {
    const usual = this.columns.filter(({ is_constant: isConstant }) => !isConstant).slice(0, AXES).map(({ name }) => name);
    const names = this.store.get("axes", new Set(usual));
    return this.columns.filter(({ name }) => names.has(name));
  }

  axisChoice() {
    const boxes = this.columns.map(({ name, label, is_constant: isConstant }) => {
      const box = element("input", { type: "checkbox", value: name, checked: this.shown().some((column) => column.name === name) });
      box.addEventListener("change", () => this.showAxis(name, box.checked));
      return element("label", {}, box, ` ${label}${isConstant ? " (the same everywhere)" : ""}`);
    });
    return element("details", {}, element("summary", {}, `Axes: ${plural(this.columns.length, "column")} to choose from`),
      element("fieldset", { class: "choices axes" }, element("legend", {}, "Axes that are shown"), boxes));
  }

  showAxis(name, isShown) {
    const names = new Set(this.shown().map((column) => column.name));
    if (isShown) names.add(name);
    else names.delete(name);
    this.store.set("axes", names);
    if (!isShown) this.setRange(name, null);
    this.changed();
    this.showRanges();
  }

  ranges() {
    return this.store.get("ranges", {});
  }

  /** Keep a range of an axis, [low, high] of numbers or the words that are kept; null for no range. */
  setRange(name, range) {
    const { [name]: before, ...others } = this.ranges();
    this.store.set("ranges", range === null ? others : { ...others, [name]: range });
    this.tell();
    this.plot.redraw();
  }

  clear() {
    this.store.set("ranges", {});
    this.changed();
    this.showRanges();
  }

  /** Everything that follows from the ranges, once they are settled. */
  changed() {
    this.tell();
    this.plot.redraw();
    this.store.set("selected", Object.keys(this.ranges()).length ? new Set(this.kept()) : null);
  }

  tell() {
    const total = this.page.trials.seeds.length;
    const kept = this.kept().length.toLocaleString("en-US");
    this.status.textContent = Object.keys(this.ranges()).length ? `${kept} of ${plural(total, "trial")} selected.` : `All ${plural(total, "trial")}.`;
  }

  /** The inputs, as the ranges are; not while somebody types in them. */
  showRanges() {
    this.rangeRows.replaceChildren(...this.shown().map((column) => this.rangeRow(column)));
  }

  /** Indices of the trials that every range keeps. */
  kept() {
    const tests = Object.entries(this.ranges()).map(([name, range]) => {
      const { values, is_number: isNumber } = this.columns.find((column) => column.name === name) ?? { values: [] };
      const [low, high] = range;
      return isNumber
        ? (trial) => values[trial] !== null && values[trial] !== undefined && values[trial] >= low && values[trial] <= high
        : (trial) => range.includes(values[trial]);
    });
    return this.page.trials.seeds.map((_, trial) => trial).filter((trial) => tests.every((test) => test(trial)));
  }

  rangeRow(column) {
    const range = this.ranges()[column.name];
    const entries = column.is_number ? this.numberInputs(column, range) : [element("td", { class: "text", colspan: 2 }, this.wordBoxes(column, range))];
    return element("tr", {}, element("th", { scope: "row", class: "text" }, column.label), entries);
  }

  numberInputs({ name, label, values }, range) {
    const [low, high] = extent(values.filter((value) => value !== null), 0);
    const [from, to] = [0, 1].map((side) => element("input", {
      type: "number", step: "any", value: range ? rounded(range[side]) : "", placeholder: formatNumber(side ? high : low), "aria-label": `${label}, ${side ? "at most" : "at least"}`,
    }));
    const read = () => {
      const [least, most] = [from, to].map(({ value }) => (value === "" ? null : Number(value)));
      this.setRange(name, least === null && most === null ? null : [least ?? -Infinity, most ?? Infinity]);
      this.changed();
    };
    for (const input of [from, to]) input.addEventListener("input", read);
    return [from, to].map((input) => element("td", { class: "text" }, input));
  }

  wordBoxes({ name, label, order }, given) {
    let range = given;
    const boxes = order.map((word) => {
      const box = element("input", { type: "checkbox", checked: !range || range.includes(word) });
      box.addEventListener("change", () => {
        const kept = order.filter((other) => (other === word ? box.checked : !range || range.includes(other)));
        this.setRange(name, kept.length === order.length ? null : kept);
        range = this.ranges()[name];
        this.changed();
      });
      return element("label", {}, box, ` ${word}`);
    });
    return element("fieldset", { class: "choices" }, element("legend", {}, label), boxes);
  }

  begin(event) {
    const axis = this.axes.find(({ left }) => Math.abs(left - event.offsetX) <= REACH);
    if (!axis) return;
    this.drag = { axis, from: event.offsetY, to: event.offsetY };
    this.plot.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.drag) return;
    this.drag.to = event.offsetY;
    if (Math.abs(this.drag.to - this.drag.from) < CLICK) return;
    const { axis, from, to } = this.drag;
    const [top, bottom] = [Math.min(from, to), Math.max(from, to)];
    this.setRange(axis.column.name, axis.between(top, bottom));
  }

  end() {
    if (!this.drag) return;
    const { axis, from, to } = this.drag;
    this.drag = null;
    if (Math.abs(to - from) < CLICK) this.setRange(axis.column.name, null);
    this.changed();
    this.showRanges();
  }

  draw(context, width, height, colours) {
    const shown = this.shown();
    const { canvas } = this.plot;
    canvas.style.setProperty("min-width", `${shown.length * AXIS_WIDTH}px`);
    this.axes = shown.map((column, index) => axisOf(column, ((index + 0.5) * width) / shown.length));
    const kept = new Set(this.kept());
    const hidden = hiddenCells(this.store);
    const { cells: cellOf, seeds } = this.page.trials;
    const visible = seeds.map((_, trial) => trial).filter((trial) => !hidden.has(this.page.cells[cellOf[trial]].name));
    context.lineWidth = 1;
    context.strokeStyle = colours.line;
    this.lines(context, visible.filter((trial) => !kept.has(trial)));
    const byCell = new Map();
    for (const trial of visible.filter((own) => kept.has(own))) byCell.set(cellOf[trial], [...(byCell.get(cellOf[trial]) ?? []), trial]);
    context.globalAlpha = visible.length > 100 ? 0.6 : 0.9;
    for (const [cell, trials] of byCell) {
      const { look } = this.page.cells[cell];
      context.strokeStyle = colours.isDark ? look.dark : look.light;
      context.setLineDash(look.dash.map((length) => 1.4 * length));
      this.lines(context, trials);
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
    for (const axis of this.axes) this.drawAxis(context, axis, width / shown.length, colours);
  }

  /** Lines of one look, drawn at once. */
  lines(context, trials) {
    context.beginPath();
    for (const trial of trials) {
      this.axes.forEach(({ left, place, column }, index) => {
        const top = column.values[trial] === null ? NOWHERE : place(column.values[trial]);
        if (index) context.lineTo(left, top);
        else context.moveTo(left, top);
      });
    }
    context.stroke();
  }

  drawAxis(context, { left, column, ticks }, room, { ink, muted, ground }) {
    context.strokeStyle = ink;
    context.beginPath();
    context.moveTo(left, TOP);
    context.lineTo(left, BOTTOM);
    context.stroke();
    const range = this.ranges()[column.name];
    if (range) this.drawRange(context, left, column, range, muted);
    context.textAlign = "left";
    context.textBaseline = "middle";
    for (const { top, text } of ticks) {
      const shown = fitted(context, text, room - 14);
      context.lineWidth = 3;
      context.strokeStyle = ground;
      context.strokeText(shown, left + 6, top);
      context.fillStyle = ink;
      context.fillText(shown, left + 6, top);
    }
    if (column.values.includes(null)) {
      context.fillStyle = muted;
      context.fillText("none", left + 6, NOWHERE);
    }
    context.textAlign = "center";
    context.fillStyle = ink;
    wrapped(context, column.label, room - 10).forEach((line, index, lines) => context.fillText(line, left, TOP - 18 - 15 * (lines.length - 1 - index)));
    context.lineWidth = 1;
  }

  drawRange(context, left, column, range, colour) {
    const { place } = this.axes.find((axis) => axis.column === column);
    context.fillStyle = colour;
    context.globalAlpha = 0.35;
    if (column.is_number) {
      const [bottom, top] = range.map((end) => Math.min(Math.max(Number.isFinite(end) ? place(end) : end > 0 ? TOP : BOTTOM, TOP), BOTTOM));
      context.fillRect(left - 7, top, 14, Math.max(bottom - top, 2));
    } else {
      for (const word of range) context.fillRect(left - 7, place(word) - 6, 14, 12);
    }
    context.globalAlpha = 1;
  }
}

/** Where an axis is, where its values are on it, its labels, and which range lies between two heights. */
function axisOf(column, left) {
  if (!column.is_number) {
    const step = (BOTTOM - TOP) / Math.max(column.order.length, 1);
    const place = (word) => TOP + step * (column.order.indexOf(word) + 0.5);
    const sparse = Math.ceil(14 / step);
    const ticks = column.order.filter((_, index) => index % sparse === 0).map((word) => ({ top: place(word), text: word }));
    const between = (top, bottom) => column.order.filter((word) => place(word) >= top && place(word) <= bottom);
    return { column, left, place, ticks, between };
  }
  const place = scale(extent(column.values.filter((value) => value !== null), 0, column.is_log), [BOTTOM, TOP], column.is_log);
  const ticks = place.ticks(5).map((tick) => ({ top: place(tick), text: formatTick(tick) }));
  const between = (top, bottom) => [place.invert(bottom), place.invert(top)];
  return { column, left, place, ticks, between };
}

function rounded(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : "";
}

/** A text cut to a width; the full one stands in the table of ranges. */
function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let kept = text;
  while (kept && context.measureText(`${kept}\u2026`).width > width) kept = kept.slice(0, -1);
  return `${kept}\u2026`;
}

/** A text in at most three lines. */
function wrapped(context, text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
    if (context.measureText(longer).width <= width || !lines.at(-1)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  const kept = lines.length > 3 ? [...lines.slice(0, 2), `${lines.slice(2).join(" ")}`] : lines;
  return kept.map((line) => fitted(context, line, width));
}
