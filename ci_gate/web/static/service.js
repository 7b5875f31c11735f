// How the service itself is doing: its connections, calls that wait, reports that were not delivered, problems.
//
// The times in status.json's ci_gate are seconds.

import {
  all, byId, byPlace, clockTime, clone, duration, plural, serverNow, setText, showList, textPart,
} from "./tools.js";

const LONG_WAIT_MS = 10000;

function connectionPart() {
  const node = clone("connection-template");
  const [kind, name, state] = all(node, ".kind", ".name", ".state");
  return {
    node,
    show(connection) {
      node.dataset.state = connection.state;
      setText(kind, connection.kind);
      setText(name, connection.name);
      const age = connection.since === null ? "" : ` for ${duration(serverNow() - connection.since * 1000)}`;
      const reason = connection.detail ? `: ${connection.detail}` : "";
      setText(state, connection.state === "up" ? "up" : `${connection.state}${age}${reason}`);
      node.title = connection.since === null ? "" : `since ${clockTime(connection.since * 1000)}`;
    },
  };
}

/** One foldable list; `texts` may be cut short, `total` says how many there are. */
function showNote(id, heading, texts, total) {
  const note = byId(id);
  setText(note.querySelector("summary"), heading);
  const more = total > texts.length ? [`… and ${total - texts.length} more`] : [];
  showList(note.querySelector("ul"), [...texts, ...more], byPlace, textPart);
}

function waitText(wait) {
  const since = wait.since * 1000;
  const spent = `since ${clockTime(since)}, for ${duration(serverNow() - since)}`;
  return `${wait.name} (${wait.owner}), ${spent}; ends after ${duration(wait.deadline_s * 1000)}`;
}

function reportText(report) {
  const tried = `since ${clockTime(report.since * 1000)}, ${plural(report.tries, "try", "tries")}`;
  const isGivenUp = report.next_try_at === null;
  const next = isGivenUp ? "will not be tried again" : `next try ${clockTime(report.next_try_at * 1000)}`;
  const answer = report.text ? `: ${report.text}` : "";
  return `${report.subject} in ${report.pipeline}, to ${report.connection}, ${tried}, ${next}${answer}`;
}

const problemText = (problem) => `${clockTime(problem.at * 1000)} ${problem.owner}: ${problem.text}`;

/** The line about calls is always there: they come and go, and the page below it must not jump. */
function showWaits(waits, total) {
  const longest = Math.max(0, ...waits.map((wait) => serverNow() - wait.since * 1000));
  const calls = `${plural(total, "call")} to the outside under way`;
  const heading = total === 0 ? "No call to the outside is waiting" : `${calls}, the longest for ${duration(longest)}`;
  showNote("waits", heading, waits.map(waitText), total);
  byId("waits").classList.toggle("long", longest >= LONG_WAIT_MS);
}

function stallText(stall) {
  const spent = `the oldest for ${duration(serverNow() - stall.since * 1000)}`;
  return `${stall.function}: ${plural(stall.builds, "build")}, ${spent}; ${plural(stall.idle_workers, "worker")} idle`;
}

function showStalls(texts, total) {
  showNote("stalled", `${plural(total, "build")} waiting although workers are idle`, texts, texts.length);
  byId("stalled").hidden = total === 0;
}

function showReports(texts, total) {
  showNote("undelivered", `${plural(total, "report")} not delivered`, texts, total);
  byId("undelivered").hidden = total === 0;
}

function showProblems(texts, total) {
  showNote("problems", plural(total, "problem"), texts, total);
  byId("problems").hidden = total === 0;
}

export function showService(service) {
  byId("health").hidden = service === undefined;
  if (service === undefined) return;
  showList(byId("connections"), service.connections, (each) => `${each.kind} ${each.name}`, connectionPart);
  showStalls(service.stalled_builds.map(stallText), service.stalled_builds_total);
  showReports(service.undelivered_reports.map(reportText), service.undelivered_reports_total);
  showWaits(service.waits, service.waits_total);
  showProblems(service.problems.map(problemText), service.problems_total);
}
