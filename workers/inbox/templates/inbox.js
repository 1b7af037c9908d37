// Tells of new messages without disturbing the one that is being read, and empties the inbox.
"use strict";
const page = document.body.dataset;
const fresh = document.getElementById("fresh");
const empty = document.getElementById("empty");

empty.hidden = page.total === "0";
empty.addEventListener("click", async () => {
  if (!window.confirm("Remove every message from the development inbox?")) return;
  await fetch("/messages", { method: "DELETE" });
  window.location.assign("/");
});

fresh.addEventListener("click", () => window.location.assign("/"));

async function look() {
  try {
    const answer = await (await fetch("/messages.json?limit=0")).json();
    const arrived = answer.total - Number(page.total);
    if (arrived > 0 && page.total === "0") window.location.reload();
    fresh.hidden = arrived <= 0;
    fresh.textContent = arrived === 1 ? "1 new message" : `${arrived} new messages`;
  } catch { /* the inbox was stopped: the page stays readable */ }
}
window.setInterval(look, 2000);
