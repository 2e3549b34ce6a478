// Says whether the figures are live: "live", or since when nothing was heard. htmx does the rest.
(() => {
  const badge = document.querySelector("[data-live]");
  const live = document.querySelector("#live");
  if (!badge || !live) return;
  const word = badge.querySelector("[data-live-word]");
  const SILENT_MS = 20000;
  let heard = null;
  let broken = false;

  const clock = (moment) => moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const show = () => {
    const stale = broken || heard === null || Date.now() - heard > SILENT_MS;
    badge.dataset.live = stale ? (heard === null ? "" : "stale") : "live";
    const told = stale ? (heard === null ? "connecting" : `stale since ${clock(new Date(heard))}`) : "live";
    if (word.textContent !== told) word.textContent = told;
  };
  const hear = () => {
    heard = Date.now();
    broken = false;
    show();
  };
  const lose = () => {
    broken = true;
    show();
  };

  for (const name of ["htmx:sse:after:message", "htmx:sse:after:connection", "beat"]) live.addEventListener(name, hear);
  for (const name of ["htmx:sse:error", "htmx:sse:close", "htmx:error"]) live.addEventListener(name, lose);
  window.addEventListener("offline", lose);
  setInterval(show, 2000);
  show();
})();
