// What the status page is made with: text into elements, lists kept by key, times for people.

export const byId = (id) => document.getElementById(id);

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Text that is hidden when there is none. */
export function setLine(node, text) {
  setText(node, text);
  node.hidden = text === "";
}

/** Only http and https links are followed; whatever else a server says stays text. */
export function setLink(anchor, text, url) {
  setText(anchor, text);
  const target = webUrl(url);
  if (target === null) anchor.removeAttribute("href");
  else if (anchor.getAttribute("href") !== target) anchor.setAttribute("href", target);
}

export function webUrl(url) {
  return typeof url === "string" && /^https?:\/\//i.test(url) ? url : null;
}

export function setProgress(bar, fraction) {
  bar.hidden = fraction === null;
  if (fraction !== null && bar.value !== fraction) bar.value = fraction;
}

export const all = (node, ...selectors) => selectors.map((each) => node.querySelector(each));

export function clone(templateId) {
  return byId(templateId).content.firstElementChild.cloneNode(true);
}

/** Give `list` exactly these children, in order, touching only what differs. */
export function place(list, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...list.children]) {
    if (!wanted.has(child)) child.remove();
  }
  let next = list.firstElementChild;
  for (const node of nodes) {
    if (node === next) next = next.nextElementSibling;
    else list.insertBefore(node, next);
  }
}

const partsOf = new WeakMap(); // list element → Map of key → part

/** Make `list` show one part for each value, in order; `make` gives a part {node, show(value)} for a new key. */
export function showList(list, values, keyOf, make) {
  const before = partsOf.get(list) ?? new Map();
  const parts = new Map();
  values.forEach((value, index) => {
    let key = keyOf(value, index);
    while (parts.has(key)) key += "+";
    const part = before.get(key) ?? make();
    part.show(value);
    parts.set(key, part);
  });
  partsOf.set(list, parts);
  place(list, [...parts.values()].map((part) => part.node));
}

export const byPlace = (_, index) => String(index);

export function textPart() {
  const node = document.createElement("li");
  return { node, show: (text) => setText(node, text) };
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** Two units at most: 42 s, 5 min 12 s, 2 h 05 min, 3 d 4 h. */
export function duration(ms) {
  const seconds = Math.max(Math.floor(ms / 1000), 0);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes < 1) return `${seconds} s`;
  if (hours < 1) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

let aheadBy = 0; // how far the server's clock is ahead of this machine's, in milliseconds

/** The server's time just now, as its answer's date gives it. */
export function setServerTime(ms) {
  aheadBy = Number.isNaN(ms) ? 0 : ms - Date.now();
}

export const serverNow = () => Date.now() + aheadBy;

const DAY_MS = 86400000;
const timeFormat = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const dateFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** The time of day, with the date if it is not of the last or next few hours. */
export function clockTime(ms) {
  const format = Math.abs(Date.now() - ms) < DAY_MS / 2 ? timeFormat : dateFormat;
  return format.format(new Date(ms));
}

/** The message is an HTML fragment by its format: parsed in a document of its own, where nothing runs. */
export function textOfHtml(fragment) {
  return new DOMParser().parseFromString(fragment, "text/html").body.textContent.trim();
}
