// Follows the status, and brings the lists up to date where another version is published.

const EVERY = 2000; // milliseconds
const LISTS = ["#flagsmith-flags", "#flagsmith-history"];

const section = document.querySelector("#flagsmith-status");
const following = section?.querySelector(".flagsmith-following");
const spoken = document.querySelector("#flagsmith-spoken");

function element(name, text, tone) {
  const made = document.createElement(name);
  made.textContent = text;
  if (tone) made.className = `is-${tone}`;
  return made;
}

function line({ label, mark, tone, text }) {
  const told = document.createElement("dd");
  if (mark) told.append(element("b", mark, tone));
  told.append(text);
  const div = document.createElement("div");
  div.append(element("dt", label), told);
  return div;
}

function say(text) {
  if (spoken.textContent !== text) spoken.textContent = text;
}

function verdict() {
  return section.querySelector("dd b")?.textContent;
}

async function ask(url) {
  const response = await fetch(url, { cache: "no-store" });
  if (!response.ok || response.redirected) throw new Error(response.statusText);
  return response;
}

async function bringUpToDate(version) {
  const page = await (await ask(location.href)).text();
  const fresh = new DOMParser().parseFromString(page, "text/html");
  for (const list of LISTS) {
    document.querySelector(list).replaceChildren(...document.adoptNode(fresh.querySelector(list)).childNodes);
  }
  section.dataset.version = version;
  say("The flags have changed.");
}

async function look() {
  const { version, rows } = await (await ask(section.dataset.source)).json();
  const before = verdict();
  section.querySelector("dl").replaceChildren(...rows.map(line));
  if (verdict() !== before) say(`Health: ${verdict()}`);
  if (version !== section.dataset.version) await bringUpToDate(version);
}

async function follow() {
  if (!document.hidden) {
    const works = await look().then(() => true, () => false);
    following.hidden = false;
    following.textContent = works ? "live" : "no answer; trying again";
  }
  setTimeout(follow, EVERY);
}

if (section) follow();
