/** The same held-out items across cells, with a slider for everything in which samples of one trial differ. */

import { element, inColour, plural, section, textTable, wide } from "./dom.js";
import { hiddenCells, selectedTrials } from "./store.js";

/** Cells beside each other; more are a button away. */
const CELLS = 12;
/** Items below each other at first, where there are no more. */
const ITEMS = 6;
const ALL = -1;

/** The section with the samples; nothing where a study has none. */
export function samples(page, store) {
  return page.samples.samples.length ? new SamplesView(page, store).section() : null;
}

class SamplesView {
  constructor(page, store) {
    this.page = page;
    this.store = store;
    this.kinds = page.samples.kinds.map((kind, index) => ({ ...kind, index }));
    this.own = this.kinds.filter(({ is_shared: isShared }) => !isShared);
    this.seeds = [...new Set(page.samples.samples.map(({ trial }) => page.trials.seeds[trial]))].sort((one, other) => one - other);
    this.found = new Map();
    for (const sample of page.samples.samples) {
      const key = keyOf(sample.trial, sample.kind, sample.item);
      if (!this.found.has(key)) this.found.set(key, []);
      this.found.get(key).push(sample);
    }
    this.first = 0;
    this.status = element("p", { role: "status", class: "note" });
    this.grid = element("div");
    this.pager = element("div", { class: "pager" });
  }

  section() {
    const { items, coordinates, num_left_out: leftOut, samples: held } = this.page.samples;
    const choices = [
      choice("Item", "sample-item", [...(items.length > 1 ? [[ALL, "all items"]] : []), ...items.map((item, index) => [index, item])], this.item(), (value) => this.choose("sample-item", value)),
      this.seeds.length > 1 && choice("Seed", "sample-seed", this.seeds.map((seed) => [seed, String(seed)]), this.seed(), (value) => this.choose("sample-seed", value)),
      this.own.length > 1 && choice("Kind", "sample-kind", this.own.map(({ index, label }) => [index, label]), this.kind().index, (value) => this.choose("sample-kind", value)),
      ...coordinates.map((coordinate) => this.slider(coordinate)),
      this.sizeSlider(),
    ];
    const left = leftOut > 0 && element("p", { class: "note" },
      `${plural(held.length, "sample")} of ${(held.length + leftOut).toLocaleString("en-US")} fit into this page; the ledger holds them all.`);
    const made = section("samples", "Samples of held-out items", element("div", { class: "controls" }, choices), this.status, this.grid, this.pager, left);
    for (const name of ["hidden", "selected"]) this.store.follow(name, made, () => this.show(0));
    this.show(0);
    return made;
  }

  choose(name, value) {
    this.store.set(name, value);
    this.show(this.first);
  }

  item() {
    const own = this.itemsOfSeed();
    const chosen = this.store.get("sample-item", own.length <= ITEMS && own.length > 1 ? ALL : own[0]);
    return chosen === ALL || own.includes(chosen) ? chosen : own[0];
  }

  /** Items of the chosen seed: seeds may have items of their own. */
  itemsOfSeed() {
    const { trials, samples } = this.page;
    const own = new Set(samples.samples.filter(({ trial }) => trials.seeds[trial] === this.seed()).map(({ item }) => item));
    return samples.items.map((_, item) => item).filter((item) => own.has(item));
  }

  seed() {
    const chosen = this.store.get("sample-seed", this.seeds[0]);
    return this.seeds.includes(chosen) ? chosen : this.seeds[0];
  }

  kind() {
    return this.own.find(({ index }) => index === this.store.get("sample-kind", null)) ?? this.own[0] ?? this.kinds[0];
  }

  slider({ name, label, labels, start }) {
    const key = `sample-at-${name}`;
    const now = Math.min(this.store.get(key, start), labels.length - 1);
    const shown = element("output", {}, labels[now]);
    const input = element("input", { type: "range", min: 0, max: labels.length - 1, step: 1, value: now, "aria-valuetext": labels[now] });
    input.addEventListener("input", () => {
      shown.textContent = labels[input.value];
      input.setAttribute("aria-valuetext", labels[input.value]);
      this.choose(key, Number(input.value));
    });
    return element("label", {}, `${label} `, input, " ", shown);
  }

  sizeSlider() {
    const input = element("input", { type: "range", min: 3, max: 20, step: 1, value: this.store.get("sample-size", 6), on: { input: ({ target }) => this.resize(Number(target.value)) } });
    return this.page.samples.contents.some(({ media }) => media === "picture") && element("label", {}, "size ", input);
  }

  resize(size) {
    this.store.set("sample-size", size);
    this.grid.style.setProperty("--tile", `${size}rem`);
  }

  /** Index of the chosen value of every coordinate. */
  place() {
    return this.page.samples.coordinates.map(({ name, start, values }) => Math.min(this.store.get(`sample-at-${name}`, start), values.length - 1));
  }

  /** The trials of the chosen seed, a cell each. */
  trials() {
    const { trials, cells } = this.page;
    const hidden = hiddenCells(this.store);
    const selected = selectedTrials(this.store);
    return trials.seeds.map((_, trial) => trial).filter((trial) =>
      trials.seeds[trial] === this.seed() && !hidden.has(cells[trials.cells[trial]].name) && (!selected || selected.has(trial)));
  }

  show(first) {
    this.first = first;
    const { items, coordinates } = this.page.samples;
    const chosen = this.trials();
    const trials = chosen.slice(first, first + CELLS);
    const shared = this.kinds.filter(({ is_shared: isShared }) => isShared);
    const shownItems = this.item() === ALL ? this.itemsOfSeed() : [this.item()];
    const kind = this.kind();
    const heads = [
      ...shared.map(({ label }) => element("th", { scope: "col" }, label)),
      ...(kind.is_shared ? [] : trials.map((trial) => this.cellHead(trial))),
    ];
    const rows = shownItems.map((item) => element("tr", {}, element("th", { scope: "row", class: "text" }, items[item]),
      shared.map((own) => element("td", {}, this.tile(this.anyOf(own.index, item), `${own.label} of ${items[item]}`))),
      kind.is_shared ? [] : trials.map((trial) => element("td", {}, this.tile(this.sampleOf(trial, kind.index, item), this.words(trial, kind, item), trial)))));
    this.grid.replaceChildren(wide("Samples", element("table", { class: "tiles" },
      element("thead", {}, element("tr", {}, element("th", { class: "text", scope: "col" }, "item"), heads)), element("tbody", {}, rows))));
    this.resize(this.store.get("sample-size", 6));
    const at = this.place().map((index, which) => `${coordinates[which].label} ${coordinates[which].labels[index]}`);
    const range = trials.length < chosen.length ? ` ${first + 1} to ${first + trials.length} of` : "";
    this.status.textContent = kind.is_shared ? "" : `${[kind.label, `seed ${this.seed()}`, ...at].join(", ")};${range} ${plural(chosen.length, "cell")}.`;
    const step = (label, to) => element("button", { type: "button", disabled: to < 0 || to >= chosen.length, on: { click: () => this.show(to) } }, label);
    this.pager.replaceChildren(...(chosen.length > CELLS ? [step("Earlier cells", first - CELLS), step("Later cells", first + CELLS)] : []));
  }

  cellHead(trial) {
    const cell = this.page.cells[this.page.trials.cells[trial]];
    return element("th", { scope: "col" }, inColour(cell.look, element("span", { class: "mark", "aria-hidden": "true" })), cell.label);
  }

  words(trial, kind, item) {
    const at = this.place().map((index, which) => `${this.page.samples.coordinates[which].label} ${this.page.samples.coordinates[which].labels[index]}`);
    return [`${kind.label} of ${this.page.samples.items[item]}`, this.page.cells[this.page.trials.cells[trial]].label, `seed ${this.seed()}`, ...at].join(", ");
  }

  /** The sample at the chosen place; one without a coordinate is at every place of it. */
  sampleOf(trial, kind, item) {
    const place = this.place();
    const own = this.found.get(keyOf(trial, kind, item)) ?? [];
    return own.find(({ at }) => at.every((index, which) => index < 0 || index === place[which]));
  }

  anyOf(kind, item) {
    return this.page.samples.samples.find((sample) => sample.kind === kind && sample.item === item);
  }

  tile(sample, words, trial = null) {
    if (!sample) return element("span", { class: "none" }, this.why(trial));
    const content = this.page.samples.contents[sample.content];
    if (content.media === "picture") return picture(content.source, words);
    if (content.media === "text") return element("pre", { tabindex: "0", role: "group", "aria-label": words }, content.text);
    if (content.media === "table") {
      const [titles = [], ...rows] = content.table;
      return textTable({ titles, rows, num_text_columns: titles.length }, words);
    }
    return element("a", { href: content.source, download: content.name }, `Save ${content.name}`);
  }

  why(trial) {
    const status = trial === null ? "done" : this.page.trials.statuses[trial];
    if (status !== "done") return status === "missing" ? "not run" : status;
    return this.page.samples.num_left_out ? "not on this page" : "not stored";
  }
}

function keyOf(trial, kind, item) {
  return `${trial} ${kind} ${item}`;
}

function choice(label, id, options, now, choose) {
  const made = options.map(([value, text]) => element("option", { value, selected: value === now }, text));
  return element("label", {}, `${label} `, element("select", { id, on: { change: ({ target }) => choose(Number(target.value)) } }, made));
}

/** A picture; the pixels of a small one stay sharp. */
function picture(source, words) {
  const image = element("img", { src: source, alt: words, class: "tile" });
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth <= 64));
  return image;
}
