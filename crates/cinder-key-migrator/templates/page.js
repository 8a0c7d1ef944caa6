"use strict";
// The server renders; whenever it says that something changed, the parts that differ are taken over.
// Only the parts that differ: focus, selection and a screen reader's place stay where they are.

const PATIENCE = 5000;
const connection = document.getElementById("connection");
let refreshing = Promise.resolve();
let giveUp;

async function refresh() {
  const answer = await fetch(".");
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.title = page.title;
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = page.getElementById(part.id);
    if (next && next.innerHTML !== part.innerHTML) part.innerHTML = next.innerHTML;
  }
  clearTimeout(giveUp);
  giveUp = undefined;
  connection.hidden = true;
}

function refreshInTurn() {
  refreshing = refreshing.then(refresh).catch(lost);
}

// Told only when it lasts: the server ends every stream after some minutes, to begin anew.
function lost() {
  giveUp ??= setTimeout(() => {
    connection.textContent = `Not connected: what is shown is old (${document.getElementById("as-of").textContent}).`;
    connection.hidden = false;
  }, PATIENCE);
}

function connect() {
  const source = new EventSource("v1/events");
  source.onmessage = refreshInTurn;
  source.onerror = () => {
    lost();
    if (source.readyState !== EventSource.CLOSED) return;
    // Refused, as others watch already: ask now and then.
    refreshInTurn();
    setTimeout(connect, PATIENCE);
  };
}

connect();
// What changes by time alone, such as a loop that stands still.
setInterval(refreshInTurn, 30000);
