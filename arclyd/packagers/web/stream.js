// One stream's page: the player, its figures, and the addresses for other players.

import { address, follow } from "./feed.js";
import { fill, lay, seconds, stateOf, write } from "./figures.js";
import { Player } from "./player.js";
import { plot } from "./plot.js";

const key = location.pathname.split("/").slice(-2).map(decodeURIComponent).join("/");
const message = document.getElementById("message");
const low = document.getElementById("low");
const player = new Player(document.getElementById("video"), key, say);
let state = "";
let playing = false;

lay(document);
document.title = key;
document.getElementById("key").textContent = key;
document.getElementById("all").href = address("");
for (const link of document.querySelectorAll("[data-file]")) {
  link.href = address(`${key}/${link.dataset.file}`);
}

function say(sentence) {
  write(message, sentence);
}

function show(streams) {
  const figures = streams[0];
  if (figures === undefined) {
    gone();
    return;
  }
  state = stateOf(figures);
  fill(document, figures);
  plot(document.querySelector("figure"), figures.history);
  if (figures.state.includes("publishing") && (!playing || player.ended)) {
    playing = true;
    player.start(low.checked);
  } else if (player.ended) {
    say("The stream has ended.");
  }
}

function gone() {
  if (!playing || player.ended) {
    playing = false;
    say(state ? "The stream has ended." : "There is no such stream now; it will play here once there is.");
  }
}

function fail(sentence) {
  if (!playing) {
    say(sentence);
  }
}

function measure() {
  const { behind } = player;
  write(document.getElementById("behind"), behind === null ? "–" : seconds(Math.max(0, behind)));
  write(document.getElementById("buffered"), seconds(player.buffered));
  write(document.getElementById("dropped"), String(player.dropped));
  write(document.getElementById("stalls"), String(player.stalls));
}

low.addEventListener("change", () => player.start(low.checked));
document.getElementById("live").addEventListener("click", () => player.toLive());
setInterval(measure, 500);
follow(key, show, fail);
