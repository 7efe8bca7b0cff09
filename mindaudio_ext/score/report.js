"use strict";

// Tables sort by the column whose head is pressed, numbers as numbers: first falling, then rising.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const order = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => {
      const difference = Number(a) - Number(b);
      return Number.isNaN(difference) ? a.localeCompare(b) : difference;
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => order * compare(value(a), value(b)));
    table.tBodies[0].append(...rows);
  }));
}

// A press in a timeline moves the player there; a line shows where the player is.
function seekIn(timeline, player) {
  const seconds = Number(timeline.dataset.seconds);
  const [over, now] = [".over", ".now"].map((name) => timeline.querySelector(name));
  const lanes = timeline.querySelector(".lanes");
  lanes.style.cursor = "pointer";
  lanes.addEventListener("click", (event) => {
    const box = over.getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    if (part >= 0 && part <= 1) player.currentTime = Math.min(part * seconds, player.duration || seconds);
  });
  for (const change of ["seeking", "timeupdate"]) {
    player.addEventListener(change, () => {
      now.style.visibility = "visible";
      now.style.left = 100 * player.currentTime / seconds + "%";
    });
  }
}

// An utterance has one player; pressing a signal plays that one, from the same moment on.
const few = document.querySelectorAll("audio").length <= 60;  // Chromium refuses more than 75 players with sound
for (const utterance of document.querySelectorAll(".utterance")) {
  const player = utterance.querySelector("audio");
  const signals = [...utterance.querySelectorAll(".signal")];
  const choose = (signal) => {
    signals.forEach((other) => other.setAttribute("aria-pressed", String(other === signal)));
    player.src = signal.dataset.audio;
  };
  const play = () => player.play().catch(() => {});  // that the next press interrupts it is no error
  signals.forEach((signal) => signal.addEventListener("click", () => {
    if (signal.getAttribute("aria-pressed") === "true") {
      player.paused ? play() : player.pause();
      return;
    }
    const moment = player.currentTime;
    document.querySelectorAll("audio").forEach((other) => other.pause());
    choose(signal);
    player.currentTime = moment;
    play();
  }));
  player.addEventListener("timeupdate", () => {
    const part = player.duration ? 100 * player.currentTime / player.duration : 0;
    utterance.querySelectorAll(".cursor").forEach((cursor) => { cursor.style.left = part + "%"; });
  });
  const timeline = utterance.querySelector(".timeline");
  if (timeline) seekIn(timeline, player);
  const group = utterance.closest("details");
  if (few || group.open) {
    choose(signals[0]);
  } else {
    group.addEventListener("toggle", () => choose(signals[0]), { once: true });
  }
}
