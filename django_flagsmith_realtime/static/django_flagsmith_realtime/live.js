// Listens to the stream of changes while the page is visible, and dispatches "flagsmith:changed" on the document.
// {% flags_live %} says where the stream is, and the sequence of the flags that the page was rendered with.

const RETRY = 30_000; // milliseconds; up to three times as long, so that not all pages come back at once

const { stream, sequence } = document.querySelector("script[data-stream]").dataset;
let known = Number(sequence);
let source;
let isLost = false; // the stream does not answer

function listen() {
  if (document.hidden) return source?.close();
  if (source && source.readyState !== EventSource.CLOSED) return;
  const url = new URL(stream, location);
  url.searchParams.set("lastEventId", known); // a new EventSource can't send the header
  source = new EventSource(url);
  source.addEventListener("open", () => (isLost = false));
  source.addEventListener("message", receive);
  source.addEventListener("error", retry);
}

function receive({ data }) {
  const latest = Number(JSON.parse(data).etag);
  if (latest <= known) return; // lower: from a process that has not read the newest version yet
  known = latest;
  dispatch();
}

function dispatch() {
  document.dispatchEvent(new CustomEvent("flagsmith:changed", { detail: { sequence: known } }));
}

// An EventSource reconnects by itself when a connection ends, but not after an answer such as 503.
function retry({ target }) {
  isLost = true;
  if (target.readyState === EventSource.CLOSED) setTimeout(listen, RETRY * (1 + 2 * Math.random()));
}

document.addEventListener("visibilitychange", () => {
  if (isLost && !document.hidden) dispatch(); // flags may have changed
  listen();
});
listen();
