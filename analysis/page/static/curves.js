/** Training curves: means with their band, single seeds on demand, one column at a time, linear or logarithmic. */

import { chart } from "./chart.js";
import { element, formatNumber, formatTick, inColour, numbersOf, plural, section, textTable } from "./dom.js";
import { extent, scale } from "./scales.js";
import { hiddenCells, selectedTrials } from "./store.js";

const HEIGHT = 340;
const ROOM = { left: 62, right: 12, top: 10, bottom: 40 };
/** Lines that the text under the cursor lists. */
const LISTED = 12;
/** Places at which the table gives numbers. */
const TABLE_PLACES = 8;
/** Bands that can be told apart. */
const MANY_BANDS = 8;
const NO_NUMBER = 65535;

/** The section with the curves and their numbers. */
export function curves(page, store) {
  const { columns, caption } = page.curves;
  if (!columns.length) return section("curves", "Training curves", element("p", { class: "note" }, "No training curves yet."));
  return new CurvesView(page, store).section(caption);
}

/** Numbers out of 16 bits each: NaN where there is none. */
function unpacked({ low, high, is_log: isLog, codes }) {
  const bytes = Uint8Array.from(atob(codes), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 2 }, (_, index) => {
    const code = view.getUint16(2 * index, true);
    if (code === NO_NUMBER) return NaN;
    const share = code / (NO_NUMBER - 1);
    return isLog ? low * (high / low) ** share : low + share * (high - low);
  });
}

class CurvesView {
  constructor(page, store) {
    this.page = page;
    this.store = store;
    this.lines = new Map();
    this.cursor = null;
    this.reading = element("p", { class: "reading", role: "status" });
    this.plot = chart(HEIGHT, (...drawing) => this.draw(...drawing), {
      tabindex: "0",
      role: "img",
      "aria-label": "Training curves; arrow keys read values, the table below has the numbers",
    });
    const { canvas } = this.plot;
    canvas.addEventListener("pointermove", ({ offsetX }) => this.point(this.x.invert(offsetX)));
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  section(caption) {
    const numbers = numbersOf("Curves in numbers", () => this.table());
    this.changed = () => {
      this.plot.redraw();
      numbers.dispatchEvent(new Event("anew"));
    };
    const made = section("curves", "Training curves",
      element("div", { class: "controls" }, this.columnChoice(), this.check("logarithmic", "log-axis", false), this.check("bands", "bands", this.hasBands()), this.check("single seeds", "single-seeds", false)),
      this.legend(),
      element("figure", {}, this.plot.canvas, this.reading, element("figcaption", {}, caption)),
      numbers);
    for (const name of ["hidden", "selected"]) this.store.follow(name, made, this.changed);
    return made;
  }

  columnChoice() {
    const options = this.page.curves.columns.map(({ name, label }) => element("option", { value: name, selected: name === this.column().name }, label));
    return element("label", {}, "Column ", element("select", { on: { change: ({ target }) => this.choose("curve-column", target.value) } }, options));
  }

  check(label, name, isChecked) {
    const box = element("input", { type: "checkbox", checked: this.store.get(name, isChecked), on: { change: ({ target }) => this.choose(name, target.checked) } });
    return element("label", {}, box, ` ${label}`);
  }

  choose(name, value) {
    this.store.set(name, value);
    this.changed();
  }

  column() {
    const chosen = this.store.get("curve-column", null);
    return this.page.curves.columns.find(({ name }) => name === chosen) ?? this.page.curves.columns[0];
  }

  /** Bands are drawn where they can be told apart: the interval of two seeds is so wide that it hides all others. */
  hasBands() {
    const { means } = this.page.curves;
    const cells = new Set(means.map(({ cell }) => cell)).size;
    return this.store.get("bands", cells <= MANY_BANDS && means.every(({ n }) => n > 2));
  }

  /** A button per cell that switches it off and on, here and wherever cells are shown; two for all of them. */
  legend() {
    const { cells } = this.page;
    const allOrNone = (label, hidden) => element("button", { type: "button", on: { click: () => this.store.set("hidden", new Set(hidden)) } }, label);
    const both = cells.length > 3 ? [allOrNone("all cells", []), allOrNone("no cell", cells.map(({ name }) => name))] : [];
    const buttons = cells.map((cell) => {
      const button = inColour(cell.look, element("button", { type: "button", "aria-pressed": !hiddenCells(this.store).has(cell.name) ? "true" : "false" },
        element("span", { class: "mark", "aria-hidden": "true" }), cell.label));
      button.addEventListener("click", () => {
        const hidden = new Set(hiddenCells(this.store));
        if (!hidden.delete(cell.name)) hidden.add(cell.name);
        this.store.set("hidden", hidden);
      });
      this.store.follow("hidden", button, (hidden) => button.setAttribute("aria-pressed", String(!hidden.has(cell.name))));
      return button;
    });
    return element("div", { class: "legend", role: "group", "aria-label": "Cells that are shown" }, both, buttons);
  }

  /** Lines to draw: means, and seeds where they are asked for or where a cell has no mean. */
  shown() {
    const { curves: { columns, means, seeds }, trials, cells } = this.page;
    const column = columns.indexOf(this.column());
    const hidden = hiddenCells(this.store);
    const selected = selectedTrials(this.store);
    const isShown = (cell) => !hidden.has(cells[cell].name);
    const ownSeeds = seeds.filter((line) => line.column === column && isShown(trials.cells[line.trial]) && (!selected || selected.has(line.trial)));
    const cellsLeft = new Set(ownSeeds.map((line) => trials.cells[line.trial]));
    const ownMeans = means.filter((line) => line.column === column && cellsLeft.has(line.cell));
    const withMean = new Set(ownMeans.map(({ cell }) => cell));
    const wantsSeeds = this.store.get("single-seeds", false);
    const single = ownSeeds.filter((line) => wantsSeeds || !withMean.has(trials.cells[line.trial]));
    return {
      means: ownMeans.map((line) => this.line(line, line.cell)),
      seeds: single.map((line) => this.line(line, trials.cells[line.trial], trials.seeds[line.trial])),
    };
  }

  /** A line with its numbers unpacked, once. */
  line(packed, cell, seed = null) {
    if (!this.lines.has(packed)) {
      const { grid, y, low, high, n } = packed;
      const made = { cell, seed, n, x: this.page.curves.grids[grid], y: unpacked(y), low: low && unpacked(low), high: high && unpacked(high) };
      this.lines.set(packed, made);
    }
    return this.lines.get(packed);
  }

  draw(context, width, height, colours) {
    const { means, seeds } = this.shown();
    const all = [...means, ...seeds];
    const isLog = this.store.get("log-axis", false);
    const bands = this.hasBands() ? means.flatMap(({ low, high }) => [low, high]) : [];
    this.x = scale(extent(all.flatMap(({ x }) => [x[0], x[x.length - 1]]), 0.01), [ROOM.left, width - ROOM.right]);
    this.y = scale(heightsOf(all.map(({ y }) => y), bands, isLog), [height - ROOM.bottom, ROOM.top], isLog);
    this.axes(context, width, height, colours);
    context.save();
    context.beginPath();
    context.rect(ROOM.left, ROOM.top, width - ROOM.left - ROOM.right, height - ROOM.bottom - ROOM.top);
    context.clip();
    if (this.hasBands()) for (const line of means) this.band(context, line, this.colour(line.cell, colours));
    const withMean = new Set(means.map(({ cell }) => cell));
    const alone = seeds.length > 30 ? 0.5 : 1;
    for (const line of seeds) {
      const [thickness, alpha] = withMean.has(line.cell) ? [0.9, 0.45] : [1.4, alone];
      this.path(context, line, this.colour(line.cell, colours), thickness, alpha);
    }
    for (const line of means) this.path(context, line, this.colour(line.cell, colours), 2, 1);
    if (this.cursor !== null) this.cross(context, height, colours);
    context.restore();
  }

  colour(cell, { isDark }) {
    const { look } = this.page.cells[cell];
    return isDark ? look.dark : look.light;
  }

  axes(context, width, height, { ink, muted, line }) {
    const bottom = height - ROOM.bottom;
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const tick of this.y.ticks(6)) {
      context.strokeStyle = line;
      stroke(context, [[ROOM.left, this.y(tick)], [width - ROOM.right, this.y(tick)]]);
      context.fillStyle = muted;
      context.fillText(formatTick(tick), ROOM.left - 8, this.y(tick));
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const tick of this.x.ticks(Math.max(2, width / 110)).filter(Number.isInteger)) { // epochs and steps are counted
      if (this.x(tick) > width - ROOM.right) continue;
      context.fillText(formatTick(tick), this.x(tick), bottom + 7);
    }
    context.strokeStyle = ink;
    stroke(context, [[ROOM.left, ROOM.top], [ROOM.left, bottom], [width - ROOM.right, bottom]]);
    context.fillStyle = ink;
    context.fillText(this.page.curves.x.label, (ROOM.left + width - ROOM.right) / 2, bottom + 23);
  }

  band(context, { x, low, high }, colour) {
    const points = [...places(x, high, this), ...places(x, low, this).reverse()];
    if (points.length < 4) return;
    context.fillStyle = colour;
    context.globalAlpha = 0.14;
    context.beginPath();
    for (const [left, top] of points) context.lineTo(left, top);
    context.fill();
    context.globalAlpha = 1;
  }

  path(context, { cell, x, y }, colour, width, alpha) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.globalAlpha = alpha;
    context.setLineDash(this.page.cells[cell].look.dash.map((length) => length * Math.max(width, 1.4)));
    const points = places(x, y, this);
    if (points.length === 1) context.fillRect(points[0][0] - 2, points[0][1] - 2, 4, 4);
    stroke(context, points);
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  cross(context, height, { muted }) {
    context.strokeStyle = muted;
    context.lineWidth = 1;
    stroke(context, [[this.x(this.cursor), ROOM.top], [this.x(this.cursor), height - ROOM.bottom]]);
  }

  /** Read the values at a place of the x axis aloud, or stop reading. */
  point(at) {
    this.cursor = at;
    this.reading.textContent = at === null ? "" : this.values(at);
    this.plot.redraw();
  }

  values(at) {
    const { means, seeds } = this.shown();
    const read = (means.length ? means : seeds).map((line) => ({ ...line, ...valueAt(line, at) })).filter(({ value }) => Number.isFinite(value));
    const texts = read.slice(0, LISTED).map(({ cell, seed, value, n }) => {
      const whose = this.page.cells[cell].label + (seed === null ? "" : `, seed ${seed}`);
      return `${whose}: ${formatNumber(value)}${n ? ` (n = ${n})` : ""}`;
    });
    const left = read.length > LISTED ? `; ${LISTED} of ${plural(read.length, "line")}` : "";
    return `${this.page.curves.x.label} ${formatNumber(Math.round(at))}: ${texts.join("; ")}${left}`;
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") return this.point(null);
    if (!step) return undefined;
    event.preventDefault();
    const { means, seeds } = this.shown();
    const { x } = [...means, ...seeds][0] ?? { x: [0] };
    const now = this.cursor === null ? -1 : nearest(x, this.cursor);
    return this.point(x[Math.min(Math.max(now + step * Math.max(1, Math.round(x.length / 50)), 0), x.length - 1)]);
  }

  /** The shown lines at a few places, evenly from the first to the last. */
  table() {
    const { means, seeds } = this.shown();
    const lines = means.length ? means : seeds;
    const [first, last] = extent(lines.flatMap(({ x }) => [x[0], x[x.length - 1]]), 0);
    const at = Array.from({ length: TABLE_PLACES }, (_, index) => first + ((last - first) * index) / (TABLE_PLACES - 1));
    const rows = lines.slice(0, 200).map((line) => [
      this.page.cells[line.cell].label + (line.seed === null ? ` (n = ${line.n})` : `, seed ${line.seed}`),
      ...at.map((place) => {
        const { value, low, high } = valueAt(line, place);
        return Number.isFinite(low) ? `${formatNumber(value)} [${formatNumber(low)}, ${formatNumber(high)}]` : formatNumber(value);
      }),
    ]);
    const note = `${this.column().label} at ${this.page.curves.x.label.toLowerCase()}; ${rows.length} of ${plural(lines.length, "line")}.`;
    return element("div", {}, element("p", { class: "note" }, note),
      textTable({ titles: ["line", ...at.map((place) => formatNumber(Math.round(place)))], rows }, "Curves in numbers"));
  }
}

/** Range of the y axis: all lines, and of the bands as much as leaves the lines room: two seeds give wide ones. */
function heightsOf(lines, bands, isLog) {
  const [low, high] = extent(every(lines), 0.04, isLog);
  if (isLog) return [low, high];
  const [lowest, highest] = extent(every([...lines, ...bands]));
  const room = high - low;
  return [Math.max(lowest, low - room), Math.min(highest, high + room)];
}

function* every(lines) {
  for (const values of lines) yield* values;
}

function stroke(context, points) {
  context.beginPath();
  for (const [left, top] of points) context.lineTo(left, top);
  context.stroke();
}

function places(x, y, { x: across, y: up }) {
  const points = [];
  for (let index = 0; index < x.length; index += 1) {
    const top = up(y[index]);
    if (Number.isFinite(top)) points.push([across(x[index]), top]);
  }
  return points;
}

function nearest(x, at) {
  let best = 0;
  for (let index = 1; index < x.length; index += 1) if (Math.abs(x[index] - at) < Math.abs(x[best] - at)) best = index;
  return best;
}

function valueAt({ x, y, low, high }, at) {
  const index = nearest(x, at);
  return { value: y[index], low: low ? low[index] : NaN, high: high ? high[index] : NaN };
}
