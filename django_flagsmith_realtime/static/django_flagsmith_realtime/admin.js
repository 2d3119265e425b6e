// Keeps the status and the flags up to date, and searches while the user types.

const POLL_INTERVAL = 2000; // milliseconds; the listener reports its status as often
const REFRESH_INTERVAL = 60000; // milliseconds, after which an age such as "1 min ago" is wrong
const TYPING_PAUSE = 200; // milliseconds without a keystroke before the search
const LISTS = ["#flagsmith-flags", "#flagsmith-history"];

const section = document.querySelector("#flagsmith-status");
const filters = document.querySelector("#flagsmith-filters");
const live = document.querySelector("#flagsmith-live");
const announcement = document.querySelector("#flagsmith-announcement"); // read out by screen readers

let request = new AbortController(); // of the lists
let refreshedAt = Date.now();

class NotAllowed extends Error {}

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function highlight({ mark, level }) {
  const made = element("b", mark);
  if (level) made.className = `is-${level}`;
  return made;
}

function line({ label, parts }) {
  return element("div", element("dt", label), ...parts.map(
    (part) => element("dd", ...(part.mark ? [highlight(part)] : []), part.text),
  ));
}

function announce(text) {
  if (announcement.textContent !== text) announcement.textContent = text;
}

function health() {
  const [label, verdict] = ["dt", "dd b"].map((selector) => section.querySelector(selector)?.textContent ?? "");
  return `${label}: ${verdict}`;
}

async function get(url, options) {
  const response = await fetch(url, { cache: "no-store", ...options });
  if (response.redirected || response.status === 403) throw new NotAllowed();
  if (!response.ok) throw new Error(response.statusText);
  return response;
}

// Open details stay open, and the focus stays where it was.
function replace(list, fresh) {
  const keys = (selector) => [...list.querySelectorAll(selector)].map((each) => each.closest("[data-key]")?.dataset.key);
  const open = keys("details[open]");
  const [focused] = keys(":focus");
  list.replaceChildren(...document.adoptNode(fresh).childNodes);
  for (const each of list.querySelectorAll("[data-key]")) {
    if (open.includes(each.dataset.key)) each.open = true;
    if (focused === each.dataset.key) (each.querySelector("summary") ?? each).focus();
  }
}

async function refreshLists(url) {
  request.abort();
  request = new AbortController();
  const page = await (await get(url, { signal: request.signal })).text();
  const fresh = new DOMParser().parseFromString(page, "text/html");
  for (const list of LISTS) replace(document.querySelector(list), fresh.querySelector(list));
  section.dataset.version = fresh.querySelector("#flagsmith-status").dataset.version;
  refreshedAt = Date.now();
}

async function search() {
  const url = `?${new URLSearchParams(new FormData(filters))}`;
  history.replaceState(null, "", url);
  await refreshLists(url);
  announce(document.querySelector(".flagsmith-count span").textContent);
}

async function refresh() {
  const { version, status } = await (await get(section.dataset.source)).json();
  const before = health();
  section.querySelector("dl").replaceChildren(...status.map(line));
  if (health() !== before) announce(health());
  const isNew = version !== section.dataset.version;
  if (isNew || Date.now() - refreshedAt > REFRESH_INTERVAL) await refreshLists(location.pathname + location.search);
  if (isNew) announce(section.dataset.changed);
}

function showLive(text, isLive = false) {
  live.hidden = false;
  live.textContent = text;
  live.classList.toggle("is-live", isLive);
}

async function poll() {
  try {
    if (!document.hidden) await refresh();
    showLive(section.dataset.live, true);
  } catch (error) {
    if (error instanceof NotAllowed) return showLive(section.dataset.ended);
    if (error.name !== "AbortError") showLive(section.dataset.waiting);
  }
  setTimeout(poll, POLL_INTERVAL);
}

function searchOnInput() {
  let typing;
  const searchSoon = (pause) => {
    clearTimeout(typing);
    typing = setTimeout(() => search().catch(() => {}), pause);
  };
  filters.elements.q.addEventListener("input", () => searchSoon(TYPING_PAUSE));
  filters.elements.state.addEventListener("change", () => searchSoon(0));
  filters.addEventListener("submit", (event) => {
    event.preventDefault();
    searchSoon(0);
  });
}

if (section) {
  searchOnInput();
  poll();
}
