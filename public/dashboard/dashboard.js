// What the pages of the dashboard have beyond what works without a script: times in the reader's zone, forms in a dialog,
// regions that follow what happens, and one sending for a double click.

/** Between the end of a stream and the next one, in milliseconds; longer each time that none can be had. */
const RECONNECT_AFTER_MS = 2_000;
const MAX_RECONNECT_AFTER_MS = 60_000;
/** Until what an event has led to, such as its deliveries, is there to be seen, in milliseconds. */
const SEQUEL_AFTER_MS = 2_000;

const timeFormat = new Intl.DateTimeFormat(navigator.languages, { dateStyle: "medium", timeStyle: "short" });

/** Writes times in the zone of the browser; UTC stays in the title. */
function localizeTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = timeFormat.format(new Date(time.dateTime));
  }
}

/** Replaces the regions that keep themselves up to date by what they are now. Where somebody types, it waits. */
async function refresh() {
  const regions = [...document.querySelectorAll("[data-live]")];
  const isBusy = (region) =>
    region.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
  if (document.hidden || regions.some(isBusy)) return;
  // What a page asks by itself keeps no session alive.
  const headers = { Accept: "text/html", "Dashboard-Refresh": "yes" };
  const response = await fetch(location.href, { headers }).catch(() => null);
  if (response === null) return;
  // The session has ended: the page leads to the sign-in.
  if (response.redirected) return location.reload();
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const region of regions) {
    const now = fresh.getElementById(region.id);
    if (now === null || now.isEqualNode(region.cloneNode(true))) continue;
    const opened = [...region.querySelectorAll("details[open]")].map(({ id }) => id);
    const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
    region.replaceChildren(...now.childNodes);
    localizeTimes(region);
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    if (focused !== "") document.getElementById(focused)?.focus();
  }
}

/** Follows a stream of events: each one is a hint to look again. */
function follow(source, pauseMs = RECONNECT_AFTER_MS) {
  const stream = new EventSource(source.dataset.stream);
  let nextPauseMs = Math.min(2 * pauseMs, MAX_RECONNECT_AFTER_MS);
  stream.addEventListener("open", () => {
    nextPauseMs = RECONNECT_AFTER_MS;
  });
  for (const name of source.dataset.events.split(" ")) {
    stream.addEventListener(name, () => {
      void refresh();
      setTimeout(() => void refresh(), SEQUEL_AFTER_MS);
    });
  }
  stream.addEventListener("error", () => {
    if (stream.readyState !== EventSource.CLOSED) return;
    // It may be the session that has ended, which looking again finds.
    void refresh();
    setTimeout(() => follow(source, nextPauseMs), pauseMs);
  });
  addEventListener("pagehide", () => stream.close());
}

/** Whether a dialog is there, or on its way: a second click opens no second one. */
let isDialogOpen = false;

/** Shows the form behind a link in a dialog, where it would be a page of its own. */
async function openDialog(link) {
  if (isDialogOpen) return;
  isDialogOpen = true;
  try {
    await fetchDialog(link);
  } catch {
    location.assign(link.href);
  }
  isDialogOpen = document.querySelector("dialog[open]") !== null;
}

async function fetchDialog(link) {
  const response = await fetch(link.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (response === null || response.redirected) return location.assign(link.href);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const content = page.querySelector("[data-dialog]");
  if (content === null) return location.assign(link.href);
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", content.getAttribute("aria-labelledby") ?? "");
  dialog.append(content);
  localizeTimes(dialog);
  nameAmount(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    isDialogOpen = false;
    // The region of the link may have been made anew meanwhile.
    const links = [...document.querySelectorAll("a[data-opens-dialog]")];
    (link.isConnected ? link : links.find(({ href }) => href === link.href))?.focus();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-cancel]")) {
      event.preventDefault();
      dialog.close();
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Writes the amount that a form will move on its button. */
function nameAmount(root) {
  for (const input of root.querySelectorAll("input[data-names]")) {
    const button = input.form.querySelector("button[type=submit]");
    const currency = input.form.elements.currency.value;
    const name = () => {
      button.textContent = `${input.dataset.names} ${input.value.trim()} ${currency}`;
    };
    input.addEventListener("input", name);
    name();
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-opens-dialog]");
  if (link !== null && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    void openDialog(link);
    return;
  }
  const copy = event.target.closest("button[data-copy]");
  if (copy !== null) {
    void navigator.clipboard.writeText(copy.dataset.copy).then(() => {
      copy.textContent = "Copied";
    });
  }
});

// A form is sent once; the server would answer a second sending with what the first has done.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent === "yes") return event.preventDefault();
  event.target.dataset.sent = "yes";
  event.target.querySelector("button[type=submit]")?.setAttribute("aria-busy", "true");
});

// A filter takes effect when it is chosen; its button is for who has no script.
document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-submits], input[data-submits]")) event.target.form.requestSubmit();
});

// Back from another page, a form may be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

localizeTimes(document);
nameAmount(document);
const source = document.querySelector("[data-stream]");
if (source !== null) follow(source);
const polled = document.querySelector("[data-poll-ms]");
if (polled !== null) setInterval(() => void refresh(), Number(polled.dataset.pollMs));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && document.querySelector("[data-live]") !== null) void refresh();
});
