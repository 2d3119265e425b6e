const PARALLEL = 3; // requests per round: which process answers one is chance
const ROUNDS = 8; // of requests, until each process has answered with the newest flags
const PAUSE = 300; // milliseconds, one more of them before each further round: a process may have just been started
const MISSED = 2; // changes without an answer, after which a process is not shown any more

const $ = (selector, root = document) => root.querySelector(selector);
const live = $(".live");
const workers = new Map();
let newest = 0; // the highest sequence in any answer

// Processes

class Worker {
  missed = 0;

  constructor(pid) {
    this.pid = pid;
    this.root = $("#worker").content.firstElementChild.cloneNode(true);
    $("b", this.root).textContent = `pid ${pid}`;
  }

  show({ snapshot, now }) {
    this.missed = 0;
    this.version = snapshot?.version ?? "no flags yet";
    if (snapshot) {
      const lag = Date.parse(now) - Date.parse(snapshot.updated_at);
      this.changedAt = performance.now() - lag;
      if (this.sequence && snapshot.sequence > this.sequence) this.showLag(lag);
      this.sequence = snapshot.sequence;
    }
    this.write();
  }

  showLag(lag) {
    this.lag = `seen within ${(lag / 1000).toFixed(2)} s`;
    this.root.classList.remove("moved");
    requestAnimationFrame(() => this.root.classList.add("moved"));
  }

  write() {
    $("code", this.root).textContent = this.version;
    $(".age", this.root).textContent = this.sequence ? `changed ${ago(performance.now() - this.changedAt)} ago` : "";
    $(".lag", this.root).textContent = this.lag ?? "";
    this.root.classList.toggle("is-quiet", this.missed > 0);
  }
}

function ago(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

function show(answer) {
  if (!workers.has(answer.pid)) workers.set(answer.pid, new Worker(answer.pid));
  workers.get(answer.pid).show(answer);
  newest = Math.max(newest, answer.snapshot?.sequence ?? 0);
}

function outdated() {
  return [...workers.values()].filter((worker) => worker.sequence !== newest);
}

async function fetchSnapshot() {
  const response = await fetch(live.dataset.source, { cache: "no-store" });
  if (response.ok) show(await response.json());
  return response.ok;
}

async function askProcesses() {
  for (let round = 0; round < ROUNDS; round++) {
    await new Promise((resolve) => setTimeout(resolve, round * PAUSE));
    const answers = await Promise.allSettled(Array.from({ length: PARALLEL }, fetchSnapshot));
    live.classList.toggle("is-lost", !answers.some((answer) => answer.value));
    arrangeWorkers();
    if (workers.size > 1 && !outdated().length) return;
  }
  outdated().forEach((worker) => worker.missed++);
  arrangeWorkers();
}

function arrangeWorkers() {
  for (const [pid, worker] of workers) {
    if (worker.missed < MISSED) continue;
    workers.delete(pid);
    worker.root.remove();
  }
  const sorted = [...workers.values()].sort((one, other) => one.pid - other.pid);
  sorted.filter((worker) => !worker.root.isConnected).forEach(() => $(".workers").replaceChildren(...sorted.map((each) => each.root)));
  writeWorkers();
}

function writeWorkers() {
  workers.forEach((worker) => worker.write());
}

// What the flags drive

let loading = Promise.resolve();

function refresh() {
  loading = loading.catch(() => {}).then(load); // one after the other, so that the last answer is the one that stays
}

async function load() {
  const response = await fetch(location.href, { cache: "no-store" });
  if (response.ok) swap(await response.text());
}

function swap(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const typed = [...$("#shop").querySelectorAll("input[id]")].map(({ id, value, checked }) => ({ id, value, checked }));
  const focused = document.activeElement?.id;
  $("#shop").replaceWith(document.adoptNode($("#shop", page)));
  typed.forEach(restore);
  if (focused) document.getElementById(focused)?.focus();
  paint(page.documentElement);
}

function restore({ id, value, checked }) {
  const field = document.getElementById(id);
  if (field) Object.assign(field, { value, checked });
}

function paint({ dataset, style }) {
  document.documentElement.dataset.theme = dataset.theme;
  document.documentElement.style.cssText = style.cssText;
}

// The basket without a page load

document.addEventListener("submit", async (event) => {
  const form = event.target;
  event.preventDefault();
  if ("plain" in form.dataset) return;
  await fetch(form.action, { method: "POST", body: new FormData(form, event.submitter), redirect: "manual" });
  refresh();
});

// {% flags_live %} dispatches the event

document.addEventListener("flagsmith:changed", () => {
  refresh();
  askProcesses();
});
setInterval(writeWorkers, 1000);
askProcesses();
