// Keeps the status page up to date: fetches the page anew every few seconds and puts in what has changed, so that the focus, what is open,
// the place in the page and what is being typed stay as they are. Without it the page works the same, by its link "Reload".
"use strict";
(() => {
  // Half of the usual time from tick to tick, so that what is seen is never much older than what is known.
  const EVERY = 5000;
  // How long an answer may take. The page takes milliseconds; the rest is the way.
  const PATIENCE = 10000;
  // Failures in a row until the reader is told: one is a restart, or a port-forward that is opened anew.
  const LOST_AFTER = 2;
  // How long a message stays that is no longer true of the present.
  const GOOD_NEWS = 8000;

  const page = document.getElementById("page");
  const told = document.getElementById("told");
  let timer = 0, failures = 0, stopped = false, running = false;
  let updated = new Date();

  // What a screen reader says, once.
  const say = (text) => { if (told.textContent !== text) told.textContent = text; };

  const clock = (time) => time.toISOString().slice(11, 19) + " UTC";

  // Makes a node like another one, and touches only what differs.
  function like(node, other) {
    if (node.nodeType !== Node.ELEMENT_NODE) {
      if (node.nodeValue !== other.nodeValue) node.nodeValue = other.nodeValue;
      return;
    }
    // The script's own.
    if (node.hasAttribute("data-own")) return;
    for (const { name, value } of [...other.attributes]) {
      // Whether it is open is the reader's to say.
      if (name === "open" && node.localName === "details") continue;
      if (node.getAttribute(name) !== value) node.setAttribute(name, value);
    }
    for (const { name } of [...node.attributes]) {
      if (name === "open" && node.localName === "details") continue;
      if (!other.hasAttribute(name)) node.removeAttribute(name);
    }
    children(node, other);
  }

  // What has an id is the same wherever it stands; the rest goes by its place.
  function children(node, other) {
    const known = new Map();
    for (const child of node.children) if (child.id) known.set(child.id, child);
    let place = node.firstChild;
    for (const wanted of [...other.childNodes]) {
      let found = wanted.id ? known.get(wanted.id) : place;
      const fits = found && found.nodeName === wanted.nodeName && (found.id || "") === (wanted.id || "");
      if (!fits) {
        node.insertBefore(document.importNode(wanted, true), place);
        continue;
      }
      if (found === place) place = place.nextSibling;
      // This one keeps the focus, where the browser knows it.
      else if (node.moveBefore) node.moveBefore(found, place);
      else node.insertBefore(found, place);
      like(found, wanted);
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  async function fetched() {
    const answer = await fetch(location.pathname + location.search, {
      headers: { accept: "text/html" }, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE),
    });
    if (!answer.ok) throw new Error("HTTP " + answer.status);
    const other = new DOMParser().parseFromString(await answer.text(), "text/html");
    const wanted = other.getElementById("page");
    if (!wanted) throw new Error("no page");
    return { wanted, title: other.title };
  }

  async function update() {
    if (running) return;
    running = true;
    try {
      const { wanted, title } = await fetched();
      // Another version of Ripcord: its style and script are others.
      if (wanted.dataset.assets !== page.dataset.assets) return location.reload();
      const before = page.dataset.key;
      like(page, wanted);
      document.title = title;
      updated = new Date();
      const wasLost = failures >= LOST_AFTER;
      failures = 0;
      document.documentElement.classList.remove("lost");
      if (wasLost) news("Connected again: the page is up to date.");
      else if (before !== page.dataset.key) news(page.querySelector("h1").textContent.trim());
    } catch (error) {
      failures += 1;
      if (failures >= LOST_AFTER) {
        document.documentElement.classList.add("lost");
        say("Not updated since " + clock(updated) + ": Ripcord does not answer. It is tried again and again.");
      }
    } finally {
      running = false;
      schedule();
    }
  }

  function news(text) {
    say(text);
    setTimeout(() => { if (told.textContent === text) say(""); }, GOOD_NEWS);
  }

  function schedule() {
    clearTimeout(timer);
    if (!stopped && !document.hidden) timer = setTimeout(update, EVERY);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden && !stopped) update();
  });

  // What moves by itself can be held still.
  const auto = document.getElementById("auto");
  auto.hidden = false;
  auto.addEventListener("click", () => {
    stopped = !stopped;
    auto.textContent = stopped ? "Update again" : "Stop updating";
    document.documentElement.classList.toggle("live", !stopped);
    if (stopped) clearTimeout(timer); else update();
  });
  document.documentElement.classList.add("live");
  schedule();
})();
