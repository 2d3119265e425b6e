const POLL_INTERVAL = 500; // milliseconds
const PARALLEL = 3; // requests per poll: each has a connection of its own, so that both processes answer some
const QUIET_AFTER = 3000; // milliseconds without an answer, after which a process is dimmed
const GONE_AFTER = 10000; // milliseconds without an answer, after which a process is not shown any more

const $ = (selector, root = document) => root.querySelector(selector);
const live = $(".live");
const workers = new Map();
let newest = 0; // the highest sequence in any answer
let isFetching = false;

// Processes

class Worker {
  constructor(pid) {
    this.pid = pid;
    this.root = $("#worker").content.firstElementChild.cloneNode(true);
    $("b", this.root).textContent = `pid ${pid}`;
  }

  show({ snapshot, now }) {
    this.answeredAt = performance.now();
    if (!snapshot) return this.write("no flags yet", "", "");
    const updated = Date.parse(snapshot.updated_at);
    const lag = Date.parse(now) - updated;
    if (this.sequence && snapshot.sequence > this.sequence) this.showLag(lag);
    this.sequence = snapshot.sequence;
    this.write(snapshot.version, `changed ${ago(lag)} ago`, this.lag ?? "");
  }

  showLag(lag) {
    this.lag = `seen within ${(lag / 1000).toFixed(2)} s`;
    this.root.classList.remove("moved");
    requestAnimationFrame(() => this.root.classList.add("moved"));
  }

  write(version, age, lag) {
    $("code", this.root).textContent = version;
    $(".age", this.root).textContent = age;
    $(".lag", this.root).textContent = lag;
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

function arrangeWorkers() {
  for (const [pid, worker] of workers) {
    const silence = performance.now() - worker.answeredAt;
    worker.root.classList.toggle("is-quiet", silence > QUIET_AFTER);
    if (silence > GONE_AFTER) {
      workers.delete(pid);
      worker.root.remove();
    }
  }
  const sorted = [...workers.values()].sort((one, other) => one.pid - other.pid);
  sorted.filter((worker) => !worker.root.isConnected).forEach(() => $(".workers").replaceChildren(...sorted.map((each) => each.root)));
}

async function fetchSnapshot() {
  const response = await fetch(live.dataset.source, { cache: "no-store" });
  if (response.ok) show(await response.json());
  return response.ok;
}

async function poll() {
  const answers = await Promise.allSettled(Array.from({ length: PARALLEL }, fetchSnapshot));
  live.classList.toggle("is-lost", !answers.some((answer) => answer.value));
  arrangeWorkers();
  if (newest > Number($("#shop").dataset.sequence)) refresh();
  setTimeout(poll, POLL_INTERVAL);
}

// What the flags drive

async function refresh() {
  if (isFetching) return;
  isFetching = true;
  try {
    const response = await fetch(location.href, { cache: "no-store" });
    if (response.ok) swap(await response.text());
  } finally {
    isFetching = false;
  }
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

poll();
