const POLL_INTERVAL = 1000; // milliseconds
const OUTCOME_SHOWN = 1600; // milliseconds, in which a word or two is read
const HEX_COLOR = /^#[0-9a-f]{6}$/i;

const $ = (selector, root = document) => root.querySelector(selector);
const rows = new Map();

async function request(path, change) {
  const options = change && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(change),
  };
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

// Values and the fields that edit them

function typeOf(value) {
  return value === null ? "null" : typeof value;
}

function converted(value, type) {
  if (type === "null") return null;
  if (type === "boolean") return !["", "0", "false", "null", "off", "no"].includes(String(value).toLowerCase());
  if (type === "number") return Number.parseInt(value, 10) || 0;
  return value === null ? "" : String(value);
}

function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

const FIELDS = {
  string: (value) => element("textarea", { rows: 1, value, spellcheck: false }),
  number: (value) => element("input", { type: "number", step: 1, required: true, value }),
  boolean: (value) => {
    const field = element("select", {});
    field.append(new Option("true", "true"), new Option("false", "false"));
    field.value = String(value);
    return field;
  },
  null: () => element("span", { className: "empty" }),
};

class Row {
  constructor(flag) {
    this.root = $("#flag").content.firstElementChild.cloneNode(true);
    this.name = flag.name;
    this.switch = $(".switch input", this.root);
    this.type = $(".type", this.root);
    this.field = $(".field", this.root);
    this.save = $(".save", this.root);
    this.outcome = $(".outcome", this.root);
    this.describe(flag);
    this.listen();
    this.show(flag);
  }

  describe(flag) {
    $("h2", this.root).textContent = this.name;
    this.switch.setAttribute("aria-label", `${this.name} enabled`);
    this.type.setAttribute("aria-label", `Type of ${this.name}`);
    $(".notes", this.root).append(...notes(flag));
  }

  listen() {
    this.switch.addEventListener("change", () => this.send({ enabled: this.switch.checked }));
    this.type.addEventListener("change", () => this.retype());
    this.field.addEventListener("input", () => this.edited());
    this.field.addEventListener("change", () => this.sendValue());
    this.field.addEventListener("keydown", (event) => this.key(event));
    $("form", this.root).addEventListener("submit", (event) => {
      event.preventDefault();
      this.sendValue();
    });
  }

  show(flag) {
    this.flag = flag;
    this.switch.checked = flag.enabled;
    this.root.classList.toggle("is-off", !flag.enabled);
    if (this.isBeingEdited()) return;
    if (this.shown !== JSON.stringify(flag.value)) this.build(flag.value);
    this.save.hidden = true;
  }

  isBeingEdited() {
    return !this.save.hidden;
  }

  build(value) {
    const type = typeOf(value);
    const field = FIELDS[type](value);
    field.setAttribute("aria-label", `Value of ${this.name}`);
    const hadFocus = this.field.contains(document.activeElement);
    this.field.replaceChildren(...(HEX_COLOR.test(value) ? [this.picker(value, field)] : []), field);
    if (hadFocus) field.focus();
    this.type.value = type;
    this.shown = JSON.stringify(value);
  }

  picker(value, field) {
    const picker = element("input", { type: "color", value });
    picker.setAttribute("aria-label", `Color of ${this.name}`);
    picker.addEventListener("input", () => { field.value = picker.value; });
    return picker;
  }

  get value() {
    return converted(this.field.lastElementChild.value ?? null, this.type.value);
  }

  retype() {
    this.build(converted(this.flag.value, this.type.value));
    this.sendValue();
  }

  edited() {
    this.save.hidden = this.value === this.flag.value;
  }

  key(event) {
    if (event.key === "Escape") {
      this.revert();
    } else if (event.key === "Enter" && !event.shiftKey && event.target.matches("textarea")) {
      event.preventDefault();
      this.sendValue();
    }
  }

  revert() {
    // Not by rebuilding the field: to remove an edited field from the page fires its change event, which saves.
    for (const field of this.field.children) field.value = String(this.flag.value);
    this.save.hidden = true;
  }

  sendValue() {
    if (!$("form", this.root).checkValidity()) return this.report("A whole number, please", true);
    this.save.hidden = true;
    if (this.value !== this.flag.value) this.send({ value: this.value });
  }

  async send(change) {
    try {
      show(await request(`/standin/flags/${encodeURIComponent(this.name)}`, change));
      this.report("Saved");
    } catch (error) {
      this.report(`Not saved: ${error.message}`, true);
      this.show(this.flag);
    }
  }

  report(words, isBad = false) {
    this.outcome.textContent = words;
    this.outcome.classList.toggle("is-bad", isBad);
    this.outcome.classList.add("is-shown");
    $("#spoken").textContent = `${this.name}: ${words}`;
    clearTimeout(this.hiding);
    this.hiding = setTimeout(() => this.outcome.classList.remove("is-shown"), OUTCOME_SHOWN);
  }

  matches(words, show) {
    const text = `${this.name} ${this.flag.value ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word)) && (show === "all" || (show === "on") === this.flag.enabled);
  }
}

function notes(flag) {
  const segments = flag.segments.map((segment) => chip(segment.name, described(segment)));
  const variants = flag.variants.map((variant) => chip(variant.value, `${variant.percentage} %`));
  const marks = flag.server_key_only ? [chip("server-side keys only", "")] : [];
  return [...segments, ...variants, ...marks];
}

function described({ enabled, value }) {
  return enabled ? value || "on" : "off";
}

function chip(name, text) {
  const whole = element("span", { className: "chip", textContent: name });
  if (text) whole.append(element("b", { textContent: text }));
  return whole;
}

// The page

function show(state) {
  $("#environment").textContent = `${state.project} · ${state.environment}`;
  count($("#listeners"), state.counts.open_streams);
  count($("#documents"), state.counts.environment_document);
  $("#listeners").toggleAttribute("data-idle", state.counts.open_streams === 0);
  state.flags.forEach(showFlag);
  showSegments(state.segments);
  filter();
}

function showSegments(segments) {
  const rows = segments.map(({ name, rule }) => {
    const row = element("div", {});
    row.append(element("dt", { textContent: name }), element("dd", { textContent: rule }));
    return row;
  });
  if ($(".segments dl").childElementCount !== rows.length) $(".segments dl").replaceChildren(...rows);
  $(".segments").hidden = !rows.length;
}

function count(tile, number) {
  const shown = $("dd", tile);
  if (shown.textContent === String(number)) return;
  shown.textContent = number;
  const words = $("dt", tile);
  words.textContent = number === 1 ? words.dataset.one : words.dataset.many;
  tile.classList.remove("moved");
  requestAnimationFrame(() => tile.classList.add("moved"));
}

function showFlag(flag) {
  if (rows.has(flag.name)) return rows.get(flag.name).show(flag);
  const row = new Row(flag);
  rows.set(flag.name, row);
  $("#flags").append(row.root);
}

function filter() {
  const words = $("#search").value.toLowerCase().split(/\s+/);
  const show = $(".filter :checked").value;
  let first = true;
  for (const row of rows.values()) {
    // A flag stays visible while it has the focus, so that it doesn't vanish when it is switched.
    const isVisible = row.matches(words, show) || row.root.contains(document.activeElement);
    row.root.hidden = !isVisible;
    row.root.classList.toggle("first", isVisible && first);
    first &&= !isVisible;
  }
  $("#nothing").hidden = !first;
}

async function poll() {
  try {
    show(await request("/standin/state"));
    $("#offline").hidden = true;
  } catch {
    $("#offline").hidden = false;
  }
  setTimeout(poll, POLL_INTERVAL);
}

$(".finder").addEventListener("input", filter);
$(".finder").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input:not([type=checkbox]), textarea, select")) return;
  event.preventDefault();
  $("#search").select();
});
poll();
