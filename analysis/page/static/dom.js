/** Elements, texts and tables. Nothing here reads HTML from a text: whatever a name holds stays text. */

const SVG = "http://www.w3.org/2000/svg";
const MINUS = "\u2212";
const DASH = "\u2013";

/** An HTML element. Attributes and children that are null or false (and a child 0) are left out; `on` maps events to calls. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element; lengths may be percentages, so a drawing fits any width without being measured. */
export function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(made, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  for (const [event, call] of Object.entries(on)) made.addEventListener(event, call);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== 0));
  return made;
}

/** A number as our Python writes it: three significant digits, counts with separators, a dash where there is none. */
export function formatNumber(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return DASH;
  const size = Math.abs(value);
  const sign = value < 0 ? MINUS : "";
  if (Number.isInteger(value) && size < 1e15) return sign + size.toLocaleString("en-US");
  if (size >= 1e-3 && size < 1e3) return sign + Number(size.toPrecision(3)).toFixed(decimals(size));
  const [digits, exponent] = size.toExponential(2).split("e");
  return sign + Number(digits) + "e" + exponent.replace(/^([+-])(\d)$/, "$10$2");
}

/** A round number beside an axis: all its digits, since two ticks may differ in the last. */
export function formatTick(value) {
  const text = String(Number(Math.abs(value).toPrecision(6)));
  return Number.isInteger(value) ? formatNumber(value) : (value < 0 ? MINUS : "") + text;
}

function decimals(size) {
  return Math.max(0, 2 - Math.floor(Math.log10(Number(size.toPrecision(3)))));
}

/** `1 trial`, `3 trials`. */
export function plural(count, word) {
  return `${count.toLocaleString("en-US")} ${word}${count === 1 ? "" : "s"}`;
}

/** A section of the page with its heading; `name` becomes its address, such as `#curves`. */
export function section(name, heading, ...children) {
  const title = element("h2", { id: `${name}-heading` }, heading);
  return element("section", { id: name, "aria-labelledby": `${name}-heading` }, title, ...children);
}

/** A table of texts that scrolls by itself where it is too wide; `name` says to a screen reader what it is. */
export function textTable({ titles, rows, bold = [], num_text_columns: words = 1 }, name) {
  const isBold = new Set(bold.map(([row, column]) => `${row} ${column}`));
  const side = (column) => (column < words ? "text" : null);
  const head = element("tr", {}, titles.map((title, column) => element("th", { class: side(column), scope: "col" }, title)));
  const body = rows.map((row, index) =>
    element("tr", {}, row.map((entry, column) => {
      const text = isBold.has(`${index} ${column}`) ? element("strong", {}, entry) : entry;
      return element(column === 0 && words ? "th" : "td", { class: side(column), scope: column === 0 && words ? "row" : null }, text);
    })));
  return wide(name, element("table", {}, element("thead", {}, head), element("tbody", {}, body)));
}

/** Something wide in a group that scrolls, by keyboard too. */
export function wide(name, ...children) {
  return element("div", { class: "wide", role: "group", "aria-label": name, tabindex: "0" }, ...children);
}

/** Numbers of a picture, behind a line to open. `make` is called whenever they are opened, or anew when they have changed. */
export function numbersOf(summary, make) {
  const place = element("div");
  const show = () => details.open && place.replaceChildren(make());
  const details = element("details", { on: { toggle: show, anew: show } }, element("summary", {}, summary), place);
  return details;
}

/** An element in the colour of a cell: its rule in the style sheet picks the one for a light or a dark page. */
export function inColour(look, made) {
  made.classList.add("cell");
  made.style.setProperty("--light", look.light);
  made.style.setProperty("--dark", look.dark);
  return made;
}
