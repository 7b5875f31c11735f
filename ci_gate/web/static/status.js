// The status page: fetches status.json, shows it, and keeps showing it.
//
// Everything that comes from outside is put in place as text, never as HTML. Elements are kept from one refresh to
// the next by key, so that nothing flickers, and focus and opened details stay where they are.

import { showService } from "./service.js";
import {
  all, byId, byPlace, clockTime, clone, duration, place, plural, serverNow, setLine, setLink, setProgress,
  setServerTime, setText, showList, textOfHtml, textPart, webUrl,
} from "./tools.js";

const POLL_MS = 3000;
const SLOWEST_POLL_MS = 15000;
const DEADLINE_MS = 10000;
const MOST_OPEN_ITEMS = 24; // with more items than this, jobs start folded
const MOST_OPEN_JOBS = 12;

// --- what is known ---------------------------------------------------------------------------------------------

let status = null; // the last document
let receivedAt = 0; // by this machine's clock, milliseconds
let lastError = null;
let failures = 0;

// --- jobs ------------------------------------------------------------------------------------------------------

const GREY_RESULTS = new Set(["SKIPPED", "CANCELED", "NOT_BUILT"]);

/** waiting, queued, running, good, bad, warn (bad without a vote) or grey. */
function jobState(job) {
  if (job.result === "SUCCESS") return "good";
  if (job.result !== null) return GREY_RESULTS.has(job.result) ? "grey" : job.voting ? "bad" : "warn";
  if (job.start_time !== null) return "running";
  return job.uuid === null ? "waiting" : "queued";
}

function jobFraction(job) {
  if (job.result !== null) return 1;
  if (job.start_time === null || !job.estimated_time) return 0;
  return Math.min(job.elapsed_time / (job.estimated_time * 1000), 0.97);
}

function jobTime(job) {
  if (job.elapsed_time === null) return "";
  const elapsed = duration(job.elapsed_time);
  return job.result === null && job.estimated_time ? `${elapsed} of ${duration(job.estimated_time * 1000)}` : elapsed;
}

function jobPart() {
  const node = clone("job-template");
  const [badge, link, tag, time, bar] = all(node, ".badge", ".name a", ".tag", ".duration", "progress");
  return {
    node,
    show(job) {
      const state = jobState(job);
      node.dataset.state = state;
      setText(badge, job.result ?? state);
      setLink(link, job.name, (job.result !== null && webUrl(job.report_url)) || job.url);
      setLine(tag, [!job.voting && "non-voting", job.retry && "retried"].filter(Boolean).join(", "));
      setText(time, jobTime(job));
      setProgress(bar, state === "running" && job.estimated_time ? jobFraction(job) : null);
      bar.setAttribute("aria-label", `Progress of ${job.name}`);
    },
  };
}

// --- items -----------------------------------------------------------------------------------------------------

const STATE_WORDS = [
  ["bad", "failed"],
  ["warn", "failed without a vote"],
  ["running", "running"],
  ["queued", "queued"],
  ["waiting", "waiting"],
  ["good", "succeeded"],
  ["grey", "skipped"],
];

function jobsSummary(jobs) {
  const states = jobs.map(jobState);
  const counts = STATE_WORDS.map(([state, word]) => [states.filter((each) => each === state).length, word]);
  const parts = counts.filter(([count]) => count > 0).map(([count, word]) => `${count} ${word}`);
  return `${plural(jobs.length, "job")}: ${parts.join(", ")}`;
}

function itemName(item) {
  if (item.id === null) return "periodic";
  return /^[0-9a-f]{40}$/.test(item.id) ? item.id.slice(0, 10) : item.id;
}

function itemTag(item) {
  if (!item.live) return "only needed by others";
  return item.active ? "" : "waits for its turn";
}

function itemPart(openJobs) {
  const node = clone("item-template");
  const [change, project, owner, tag] = all(node, ".change", ".project", ".owner", ".tag");
  const [waited, left, reasons, bar] = all(node, ".waited", ".left", ".reasons", ".overall");
  const [details, summary, list] = all(node, ".jobs", ".jobs summary", ".jobs ul");
  let jobs = [];
  const showJobs = () => details.open && showList(list, jobs, (job) => job.name, jobPart);
  details.open = openJobs;
  details.addEventListener("toggle", showJobs);
  return {
    node,
    show(item) {
      jobs = item.jobs;
      const failing = item.failing_reasons.length > 0;
      node.classList.toggle("context", !item.live);
      node.classList.toggle("inactive", !item.active);
      node.classList.toggle("failing", failing);
      setLink(change, itemName(item), item.url);
      setText(project, item.project);
      setLine(owner, item.owner?.name ?? item.owner?.username ?? item.owner?.email ?? "");
      setLine(tag, itemTag(item));
      setText(waited, `in for ${duration(serverNow() - item.enqueue_time)}`);
      waited.title = `since ${clockTime(item.enqueue_time)}`;
      setLine(left, item.remaining_time > 0 ? `about ${duration(item.remaining_time)} left` : "");
      showList(reasons, item.failing_reasons, byPlace, textPart);
      reasons.hidden = !failing;
      details.hidden = jobs.length === 0;
      if (jobs.length > 0) setText(summary, jobsSummary(jobs));
      const done = jobs.map(jobFraction).reduce((sum, each) => sum + each, 0);
      setProgress(bar, jobs.length > 0 ? done / jobs.length : null);
      bar.setAttribute("aria-label", `Progress of ${itemName(item)}`);
      showJobs();
    },
  };
}

// Items move between queues and heads: their parts are kept for the whole page, so that they move along.
let items = { known: new Map(), used: new Map(), startOpen: true };

function itemPartFor(item, pipelineName) {
  let key = [pipelineName, item.project, item.id, item.enqueue_time, item.live].join(" ");
  while (items.used.has(key)) key += "+";
  const part = items.known.get(key) ?? itemPart(items.startOpen && item.jobs.length <= MOST_OPEN_JOBS);
  items.used.set(key, part);
  return part;
}

// --- pipelines and queues --------------------------------------------------------------------------------------

const itemsIn = (pipeline) => pipeline.change_queues.flatMap((queue) => queue.heads.flat());

function headPart(pipelineName) {
  const node = document.createElement("ol");
  node.className = "head";
  return {
    node,
    show(head) {
      const parts = head.map((item) => itemPartFor(item, pipelineName));
      parts.forEach((part, index) => part.show(head[index]));
      place(node, parts.map((part) => part.node));
    },
  };
}

/** A group of one independent item has a name that its card says already. */
const saysNothing = (queue) =>
  queue.window === 0 && queue.heads.flat().every((item) => item.project === queue.name);

/** A shared queue is known by its name; a group of an independent pipeline by the item that it is there for. */
function queueKey(queue) {
  return queue.window > 0 ? queue.name : `${queue.name} ${queue.heads.flat().at(-1).id}`;
}

function queuePart(pipelineName) {
  const node = clone("queue-template");
  const [header, name, window, heads] = all(node, "header", "h3", ".window", ".heads");
  return {
    node,
    show(queue) {
      header.hidden = saysNothing(queue);
      setText(name, queue.name);
      setLine(window, queue.window > 0 ? `window ${queue.window}` : "");
      showList(heads, queue.heads, byPlace, () => headPart(pipelineName));
    },
  };
}

const pipelineAnchor = (pipeline) => `pipeline-${encodeURIComponent(pipeline.name)}`;

function overviewPart() {
  const node = clone("overview-template");
  const [link, count] = all(node, "a", ".count");
  return {
    node,
    show({ pipeline, shown }) {
      const visible = itemsIn(shown).length;
      node.classList.toggle("none", visible === 0);
      setText(link, pipeline.name);
      setText(count, String(visible));
      link.href = `#${pipelineAnchor(pipeline)}`;
    },
  };
}

function pipelinePart() {
  const node = clone("pipeline-template");
  const [name, count, description] = all(node, "h2", ".count", ".description");
  const [queues, idle] = all(node, ".queues", ".idle");
  return {
    node,
    show({ pipeline, shown }) {
      const total = itemsIn(pipeline).length;
      const visible = itemsIn(shown).length;
      node.id = pipelineAnchor(pipeline);
      node.classList.toggle("empty", visible === 0);
      setText(name, pipeline.name);
      setText(count, (visible < total ? `${visible} of ` : "") + plural(total, "item"));
      setLine(description, pipeline.description ?? "");
      const busy = shown.change_queues.filter((queue) => queue.heads.length > 0);
      showList(queues, busy, queueKey, () => queuePart(pipeline.name));
      const quiet = pipeline.change_queues.filter((queue) => queue.heads.length === 0);
      setLine(idle, quiet.length > 0 ? `Nothing in ${quiet.map((queue) => queue.name).join("; ")}` : "");
    },
  };
}

// --- the filter ------------------------------------------------------------------------------------------------

const wantedWords = () => byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);

function matches(item, words) {
  const said = [item.project, item.id, item.owner?.name, item.owner?.username].filter(Boolean).join(" ").toLowerCase();
  return words.every((word) => said.includes(word));
}

/** The pipeline with only those items that have every word in their project, number or owner. */
function filtered(pipeline, words) {
  if (words.length === 0) return pipeline;
  const heads = (queue) =>
    queue.heads.map((head) => head.filter((item) => matches(item, words))).filter((head) => head.length > 0);
  return { ...pipeline, change_queues: pipeline.change_queues.map((queue) => ({ ...queue, heads: heads(queue) })) };
}

/** The filter is kept in the address, so that a filtered page can be handed on. */
function rememberFilter() {
  const text = byId("filter").value.trim();
  history.replaceState(null, "", text ? `#filter=${encodeURIComponent(text)}` : location.pathname + location.search);
}

function recallFilter() {
  const given = /^#filter=(.*)$/.exec(location.hash);
  if (given === null) return;
  try {
    byId("filter").value = decodeURIComponent(given[1]);
  } catch {
    byId("filter").value = ""; // not an address that this page made
  }
}

// --- the page --------------------------------------------------------------------------------------------------

function showFacts() {
  const { trigger_event_queue: events, result_event_queue: results, last_reconfigured: loaded } = status;
  const facts = [`${plural(events.length, "event")} and ${plural(results.length, "result")} queued`];
  if (loaded !== undefined) facts.push(`layout loaded ${clockTime(loaded)}`);
  if (status.ci_gate !== undefined) {
    const { builds, started_at: startedAt } = status.ci_gate;
    facts.push(`builds: ${builds.running} running, ${builds.waiting} queued`);
    const ended = `${builds.succeeded} succeeded, ${builds.failed} failed, ${builds.lost} lost`;
    facts.push(`since ${clockTime(startedAt * 1000)}: ${ended}`);
  }
  setText(byId("facts"), facts.join(" · "));
  setText(byId("version"), status.zuul_version);
}

function showStatus() {
  const words = wantedWords();
  const total = status.pipelines.reduce((sum, pipeline) => sum + itemsIn(pipeline).length, 0);
  items = { known: items.used, used: new Map(), startOpen: total <= MOST_OPEN_ITEMS };
  const shown = status.pipelines.map((pipeline) => ({ pipeline, shown: filtered(pipeline, words) }));
  const name = ({ pipeline }) => pipeline.name;
  showList(byId("overview"), shown, name, overviewPart);
  showList(byId("pipelines"), shown, name, pipelinePart);
  setLine(byId("message"), status.message ? textOfHtml(status.message) : "");
  showService(status.ci_gate);
  showFacts();
  document.title = `${plural(total, "item")} · ci-gate`;
}

/** Says how old the page is; loudly once the service does not answer. */
function showAge() {
  const age = status === null ? "Loading …" : `Updated ${duration(Date.now() - receivedAt)} ago`;
  setText(byId("age"), age);
  document.body.classList.toggle("stale", lastError !== null);
  const what = status === null ? "" : ` What you see is from ${clockTime(receivedAt)}.`;
  setLine(byId("unreachable"), lastError === null ? "" : `No news from the service (${lastError}).${what}`);
}

// --- refreshing ------------------------------------------------------------------------------------------------

let timer = 0;
let underWay = false;

async function fetchStatus() {
  const deadline = new AbortController();
  const alarm = setTimeout(() => deadline.abort(), DEADLINE_MS);
  try {
    const response = await fetch("status.json", { cache: "no-cache", signal: deadline.signal });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const sentAt = Date.parse(response.headers.get("Date"));
    return { news: await response.json(), sentAt };
  } catch (error) {
    throw deadline.signal.aborted ? new Error(`no answer within ${DEADLINE_MS / 1000} s`) : error;
  } finally {
    clearTimeout(alarm);
  }
}

async function refresh() {
  clearTimeout(timer);
  if (underWay || document.hidden) return; // shown again, the page refreshes at once
  underWay = true;
  try {
    const { news, sentAt } = await fetchStatus();
    status = news;
    receivedAt = Date.now();
    setServerTime(sentAt);
    failures = 0;
    lastError = null;
    showStatus();
  } catch (error) {
    failures += 1;
    lastError = error.message;
  } finally {
    underWay = false;
    showAge();
    timer = setTimeout(refresh, Math.min(POLL_MS * 2 ** Math.max(failures - 1, 0), SLOWEST_POLL_MS));
  }
}

byId("filter").addEventListener("input", () => {
  rememberFilter();
  if (status !== null) showStatus();
});
window.addEventListener("hashchange", () => {
  recallFilter();
  if (status !== null) showStatus();
});
document.addEventListener("visibilitychange", refresh);
recallFilter();
setInterval(showAge, 1000);
refresh();
