// Follows the status and the flags, and filters these while somebody types.

const LOOK = 2000; // milliseconds between looks at the status
const RENEW = 60000; // after which "a minute ago" is no longer true
const PAUSE = 200; // in typing, before the search
const LISTS = ["#flagsmith-flags", "#flagsmith-history"];

const section = document.querySelector("#flagsmith-status");
const filters = document.querySelector("#flagsmith-filters");
const following = document.querySelector("#flagsmith-following");
const spoken = document.querySelector("#flagsmith-spoken");

let request = new AbortController(); // for the lists
let renewedAt = Date.now();

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

function say(text) {
  if (spoken.textContent !== text) spoken.textContent = text;
}

function verdict() {
  return section.querySelector("dd b")?.textContent ?? "";
}

async function ask(url, options) {
  const response = await fetch(url, { cache: "no-store", ...options });
  if (response.redirected || response.status === 403) throw new NotAllowed();
  if (!response.ok) throw new Error(response.statusText);
  return response;
}

// What is open stays open, and the keyboard where it was.
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

async function show(url) {
  request.abort();
  request = new AbortController();
  const page = await (await ask(url, { signal: request.signal })).text();
  const fresh = new DOMParser().parseFromString(page, "text/html");
  for (const list of LISTS) replace(document.querySelector(list), fresh.querySelector(list));
  section.dataset.version = fresh.querySelector("#flagsmith-status").dataset.version;
  renewedAt = Date.now();
}

async function search() {
  const url = `?${new URLSearchParams(new FormData(filters))}`;
  history.replaceState(null, "", url);
  await show(url);
  say(document.querySelector(".flagsmith-count span").textContent);
}

async function look() {
  const { version, status } = await (await ask(section.dataset.source)).json();
  const before = verdict();
  section.querySelector("dl").replaceChildren(...status.map(line));
  if (verdict() !== before) say(`Health: ${verdict()}`);
  const isNew = version !== section.dataset.version;
  if (isNew || Date.now() - renewedAt > RENEW) await show(location.pathname + location.search);
  if (isNew) say("The flags have changed.");
}

function tell(text, isLive = false) {
  following.hidden = false;
  following.textContent = text;
  following.classList.toggle("is-live", isLive);
}

async function follow() {
  try {
    if (!document.hidden) await look();
    tell("live", true);
  } catch (error) {
    if (error instanceof NotAllowed) return tell("ended: log in again, and reload the page");
    if (error.name !== "AbortError") tell("no answer; trying again");
  }
  setTimeout(follow, LOOK);
}

function listen() {
  let typing;
  const searchSoon = (pause) => {
    clearTimeout(typing);
    typing = setTimeout(() => search().catch(() => {}), pause);
  };
  filters.elements.q.addEventListener("input", () => searchSoon(PAUSE));
  filters.elements.state.addEventListener("change", () => searchSoon(0));
  filters.addEventListener("submit", (event) => {
    event.preventDefault();
    searchSoon(0);
  });
}

if (section) {
  listen();
  follow();
}
